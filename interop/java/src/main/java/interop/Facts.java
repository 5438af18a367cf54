package interop;

import com.rabbitmq.client.LongString;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** What must hold: routes, header values, x-death. Pure data and checks. */
final class Facts {
  static final String WRONG_PASSWORD_TEXT =
      "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN";
  static final int[] PRIORITIES = {1, 5, 9, 0, 5};
  static final int FRAME_OVERHEAD = 8;

  private Facts() {}

  /** A binding of queue 0 or 1. */
  record Binding(int queue, String key, Map<String, Object> arguments) {}

  /** What a message is routed by. */
  record Keyed(String key, Map<String, Object> headers) {}

  /** Bindings of two queues, messages, and who gets which of them. */
  record Route(String kind, List<Binding> bindings, List<Keyed> messages,
      List<List<String>> arrive) {}

  static final List<Route> ROUTES = List.of(
      new Route("direct",
          List.of(new Binding(0, "red", null), new Binding(1, "blue", null)),
          List.of(new Keyed("red", null), new Keyed("blue", null), new Keyed("green", null)),
          List.of(List.of("0"), List.of("1"))),
      new Route("fanout",
          List.of(new Binding(0, "", null), new Binding(1, "other", null)),
          List.of(new Keyed("any", null), new Keyed("", null)),
          List.of(List.of("0", "1"), List.of("0", "1"))),
      new Route("topic",
          List.of(new Binding(0, "a.*.c", null), new Binding(1, "a.#", null)),
          List.of(new Keyed("a.b.c", null), new Keyed("a", null), new Keyed("a.b.c.d", null),
              new Keyed("b.a", null)),
          List.of(List.of("0"), List.of("0", "1", "2"))),
      new Route("headers",
          List.of(new Binding(0, "", Map.of("x-match", "all", "n", 1, "s", "two")),
              new Binding(1, "", Map.of("x-match", "any", "n", 1, "s", "two"))),
          List.of(new Keyed("", Map.of("n", 1, "s", "two")), new Keyed("", Map.of("n", 1)),
              new Keyed("", Map.of("s", "three"))),
          List.of(List.of("0"), List.of("0", "1"))));

  /** Every type the client can write. */
  static Map<String, Object> headers() {
    Map<String, Object> headers = new LinkedHashMap<>();
    headers.put("bool", true);
    headers.put("no", false);
    headers.put("byte", (byte) -7);
    headers.put("short", (short) -300);
    headers.put("int", Integer.MIN_VALUE);
    headers.put("long", Long.MIN_VALUE);
    headers.put("float", 0.25f);
    headers.put("double", 0.1);
    headers.put("decimal", new BigDecimal("3.14"));
    headers.put("string", "grüße, 世界");
    headers.put("empty", "");
    headers.put("bytes", new byte[] {0, -1, -2});
    headers.put("time", new Date(1_709_209_815_000L));
    headers.put("none", null);
    headers.put("list", List.of(1, "two", true, List.of(Map.of("four", 4L))));
    headers.put("table", Map.of("nested", Map.of("list", List.of(), "table", Map.of())));
    return headers;
  }

  /** The value with strings and byte arrays in a form that equals() compares. */
  static Object comparable(Object value) {
    if (value instanceof LongString text) {
      return text.toString();
    }
    if (value instanceof byte[] bytes) {
      return "bytes " + new String(bytes, StandardCharsets.ISO_8859_1);
    }
    if (value instanceof List<?> list) {
      List<Object> items = new ArrayList<>();
      list.forEach(item -> items.add(comparable(item)));
      return items;
    }
    if (value instanceof Map<?, ?> map) {
      Map<Object, Object> entries = new HashMap<>();
      map.forEach((name, item) -> entries.put(name, comparable(item)));
      return entries;
    }
    return value;
  }

  /** Both are the same; `what` names them in the failure. */
  static void equal(Object actual, Object expected, String what) {
    if (!Objects.equals(actual, expected)) {
      throw new AssertionError(what + ": " + actual + ", expected " + expected);
    }
  }

  /** Every part occurs in the text. */
  static void contains(String text, String... parts) {
    for (String part : parts) {
      if (text == null || !text.contains(part)) {
        throw new AssertionError("'" + part + "' is not in '" + text + "'");
      }
    }
  }

  /** The only x-death entry, after its fields and the x-first-death headers are checked. */
  static Map<?, ?> singleDeath(Map<String, Object> headers, String queue, String reason,
      String exchange, String key) {
    List<?> deaths = (List<?>) headers.get("x-death");
    equal(deaths == null ? 0 : deaths.size(), 1, "number of x-death entries");
    Map<?, ?> death = (Map<?, ?>) deaths.get(0);
    Map<String, Object> expected = Map.of("count", 1L, "queue", queue, "reason", reason,
        "exchange", exchange, "routing-keys", List.of(key));
    expected.forEach((field, value) ->
        equal(comparable(death.get(field)), value, "x-death " + field));
    equal(death.get("time") instanceof Date, true, "x-death time is a timestamp");
    for (String field : List.of("queue", "reason", "exchange")) {
      String name = "x-first-death-" + field;
      equal(comparable(headers.get(name)), expected.get(field), name);
    }
    return death;
  }
}
