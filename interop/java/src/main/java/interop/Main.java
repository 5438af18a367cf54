package interop;

import java.util.List;
import java.util.stream.Stream;

/** The interop scenarios with the Java client. */
public final class Main {
  private Main() {}

  /** Runs all scenarios; exits with 1 if one fails. */
  public static void main(String[] arguments) {
    var lists = Stream.of(Topology.SCENARIOS, Publishing.SCENARIOS, Consuming.SCENARIOS,
        Connections.SCENARIOS);
    System.exit(Board.run(lists.flatMap(List::stream).toList()));
  }
}
