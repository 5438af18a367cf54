//! Copies of pages, at their places in segments of another directory. The owner says which pages, and
//! does not free them meanwhile.

use std::path::Path;
use std::sync::Arc;

use crate::store::StoreError;
use crate::store::disk::{Disk, File};

use super::Pages;
use super::files::Files;
use super::page::{PageAt, seal};

/// What was copied.
#[derive(Debug, Default)]
pub struct PagesCopied {
    /// Pages that are there now.
    pub pages: u64,
    /// What they take, headers included.
    pub bytes: u64,
    /// Pages that could not be read, each with the reason.
    pub lost: Vec<(PageAt, StoreError)>,
}

impl Pages {
    /// Copies `pages` into segments under the data directory `target`, each checked as it is read.
    /// One that is damaged is passed over. What was copied is durable when this returns.
    pub fn copy_to(
        &self,
        disk: Arc<dyn Disk>,
        target: &Path,
        mut pages: Vec<PageAt>,
    ) -> Result<PagesCopied, StoreError> {
        let mut copied = PagesCopied::default();
        if pages.is_empty() {
            return Ok(copied);
        }
        pages.sort_unstable();
        let files = Files::new(disk, target, self.files.identity);
        files.create_dir()?;
        for of_segment in pages.chunk_by(|one, next| one.segment == next.segment) {
            self.copy_segment(&files, of_segment, &mut copied)?;
        }
        files.sync_names()?;
        Ok(copied)
    }

    fn copy_segment(
        &self,
        files: &Files,
        pages: &[PageAt],
        copied: &mut PagesCopied,
    ) -> Result<(), StoreError> {
        let Some(segment) = pages.first().map(|page| page.segment) else {
            return Ok(());
        };
        let path = files.path(segment);
        let file: Arc<dyn File> = files.create(segment)?;
        for at in pages {
            let bytes = match self.read(*at) {
                Ok(bytes) => bytes,
                Err(error) if error.is_damage() => {
                    copied.lost.push((*at, error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let place = (segment, at.offset);
            let (_, header) = seal(&files.identity, place, at.length, &[&bytes]);
            file.pwrite_parts(&[&header, &bytes], at.offset)
                .map_err(StoreError::io("write", &path))?;
            copied.pages += 1;
            copied.bytes += at.framed_bytes();
        }
        file.sync_data().map_err(StoreError::io("sync", &path))
    }
}
