// Runs the scenarios in order and prints one line for each. Owns the deadlines: 20 s for a
// scenario, 60 s for the program. Never talks to a broker.

const SCENARIO_MS = 20_000;
const PROGRAM_MS = 60_000;

let named = 0;

/** A name no other run uses. */
export function nameFor(purpose) {
  named += 1;
  return `interop.amqplib.${process.pid}.${named}.${purpose}`;
}

/** Runs [name, function] pairs; `call(function)` runs one. Ends the process. */
export async function run(scenarios, cannot, call) {
  const endsAt = Date.now() + PROGRAM_MS;
  let failures = 0;
  for (const [name, reason] of cannot) console.log(`skip ${name}: ${reason}`);
  for (const [name, scenario] of scenarios) {
    try {
      await withDeadline(() => call(scenario), Math.min(SCENARIO_MS, endsAt - Date.now()));
      console.log(`ok ${name}`);
    } catch (error) {
      failures += 1;
      console.log(`FAIL ${name}: ${String(error?.message ?? error).replace(/\s+/g, ' ')}`);
    }
  }
  process.exit(failures ? 1 : 0);
}

async function withDeadline(call, ms) {
  if (ms <= 0) throw new Error(`not reached within ${PROGRAM_MS / 1000} s`);
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('no outcome before the deadline')), ms);
  });
  try {
    await Promise.race([call(), late]);
  } finally {
    clearTimeout(timer);
  }
}
