package interop;

import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Runs the scenarios in order and prints one line for each. Owns the deadlines: 20 s for a
 * scenario, 60 s for the program. Never talks to a broker.
 */
final class Board {
  private static final long SCENARIO_NANOS = TimeUnit.SECONDS.toNanos(20);
  private static final long PROGRAM_NANOS = TimeUnit.SECONDS.toNanos(60);
  private static final AtomicInteger NAMED = new AtomicInteger();

  private Board() {}

  /** What a scenario does; it fails by throwing. */
  interface Steps {
    void run(Client client) throws Exception;
  }

  /** A scenario and its name in the list. */
  record Scenario(String name, Steps steps) {}

  /** A name no other run uses. */
  static String nameFor(String purpose) {
    long pid = ProcessHandle.current().pid();
    return "interop.java." + pid + "." + NAMED.incrementAndGet() + "." + purpose;
  }

  /** Runs the scenarios and gives the exit code. */
  static int run(List<Scenario> scenarios) {
    ExecutorService threads = Executors.newCachedThreadPool();
    long endsAt = System.nanoTime() + PROGRAM_NANOS;
    int code = 0;
    for (Scenario scenario : scenarios) {
      String reason = runOne(threads, scenario, endsAt - System.nanoTime());
      if (reason == null) {
        System.out.println("ok " + scenario.name());
      } else {
        code = 1;
        System.out.println("FAIL " + scenario.name() + ": " + reason.replaceAll("\\s+", " "));
      }
    }
    return code;
  }

  /** The reason why the scenario failed, or null. */
  private static String runOne(ExecutorService threads, Scenario scenario, long left) {
    if (left <= 0) {
      return "not reached within the time of the program";
    }
    Future<?> outcome = threads.submit(() -> {
      try (Client client = new Client()) {
        scenario.steps().run(client);
      }
      return null;
    });
    try {
      outcome.get(Math.min(left, SCENARIO_NANOS), TimeUnit.NANOSECONDS);
      return null;
    } catch (ExecutionException failed) {
      return String.valueOf(failed.getCause());
    } catch (TimeoutException | InterruptedException late) {
      outcome.cancel(true);
      return "no outcome before the deadline";
    }
  }
}
