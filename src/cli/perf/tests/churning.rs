//! Queues that come and go: each is declared, bound and deleted before the next.

use std::sync::Arc;

use amqp_codec::Method;
use parking_lot::Mutex;

use super::super::args::tests::accepted;
use super::super::churn;
use super::super::stop::Stop;
use super::peer::Peer;

#[test]
fn a_queue_is_declared_bound_and_deleted_before_the_next_one_comes() {
    let steps = Arc::new(Mutex::new(Vec::new()));
    let noted = steps.clone();
    let (uri, peer) = Peer::start(move |mut peer| {
        peer.welcome(0);
        peer.serve(|_, method| {
            let step = match method {
                Method::QueueDeclare(declare) => {
                    assert!(declare.exclusive && declare.auto_delete && !declare.durable);
                    "declare"
                }
                Method::QueueBind(bind) => {
                    assert_eq!(
                        (bind.exchange, bind.queue),
                        ("amq.direct", bind.routing_key)
                    );
                    "bind"
                }
                Method::QueueDelete(_) => "delete",
                _ => return true,
            };
            noted.lock().push(step);
            true
        });
    });
    let mut args = accepted("--churn --rate 50 --duration 0.2");
    args.uri = uri;
    let report = churn::run(&args, 1, &Stop::default()).expect("no error");
    peer.join().expect("the script ran");
    let report = serde_json::to_value(&report).expect("plain values");
    let cycles = report["queues"].as_u64().expect("a number") as usize;
    assert!((1..=10).contains(&cycles), "{cycles} in 0.2 s at 50/s");
    assert_eq!(*steps.lock(), ["declare", "bind", "delete"].repeat(cycles));
    assert_eq!(report["latency_us"]["samples"], cycles);
}
