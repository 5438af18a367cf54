package interop;

import static interop.Board.nameFor;
import static interop.Facts.equal;
import static interop.Client.bytes;
import static interop.Client.closes;
import static interop.Client.confirmed;
import static interop.Client.drain;
import static interop.Client.exchange;
import static interop.Client.openChannel;
import static interop.Client.publish;
import static interop.Client.queue;
import static interop.Client.ready;
import static interop.Client.texts;

import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.AMQP.Queue.DeclareOk;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import interop.Board.Scenario;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/** Exchanges, queues and bindings with the Java client. */
final class Topology {
  static final List<Scenario> SCENARIOS = List.of(
      new Scenario("exchange-types", Topology::exchangeTypes),
      new Scenario("exchange-bind", Topology::exchangeBind),
      new Scenario("alternate-exchange", Topology::alternateExchange),
      new Scenario("passive", Topology::passive),
      new Scenario("server-named", Topology::serverNamed),
      new Scenario("delete-conditions", Topology::deleteConditions),
      new Scenario("redeclare-mismatch", Topology::redeclareMismatch));

  private Topology() {}

  private static void exchangeTypes(Client c) throws Exception {
    Channel channel = c.channel();
    for (Facts.Route route : Facts.ROUTES) {
      String exchange = exchange(channel, route.kind(), null);
      List<String> queues = List.of(queue(channel), queue(channel));
      for (Facts.Binding binding : route.bindings()) {
        String queue = queues.get(binding.queue());
        channel.queueBind(queue, exchange, binding.key(), binding.arguments());
      }
      int number = 0;
      for (Facts.Keyed message : route.messages()) {
        var properties = new BasicProperties.Builder().headers(message.headers()).build();
        channel.basicPublish(exchange, message.key(), properties, bytes("" + number++));
      }
      confirmed(channel);
      for (int i = 0; i < queues.size(); i++) {
        String what = "messages through a " + route.kind() + " exchange";
        equal(drain(channel, queues.get(i)), route.arrive().get(i), what);
      }
    }
  }

  private static void exchangeBind(Client c) throws Exception {
    Channel channel = c.channel();
    String source = exchange(channel, "topic", null);
    String target = exchange(channel, "fanout", null);
    String queue = queue(channel);
    channel.queueBind(queue, target, "");
    channel.queueBind(queue(channel), source, "keeps.it.alive");
    channel.exchangeBind(target, source, "k.#");
    channel.basicPublish(source, "k.1", null, bytes("crosses"));
    confirmed(channel);
    equal(drain(channel, queue), List.of("crosses"), "through two exchanges");
    channel.exchangeUnbind(target, source, "k.#");
    channel.basicPublish(source, "k.2", null, bytes("stays"));
    confirmed(channel);
    equal(drain(channel, queue), List.of(), "after exchange.unbind");
  }

  private static void alternateExchange(Client c) throws Exception {
    Channel channel = c.channel();
    String alternate = exchange(channel, "fanout", null);
    String exchange = exchange(channel, "direct", Map.of("alternate-exchange", alternate));
    String own = queue(channel);
    String rest = queue(channel);
    channel.queueBind(own, exchange, "own");
    channel.queueBind(rest, alternate, "");
    AtomicInteger returns = new AtomicInteger();
    channel.addReturnListener(back -> returns.incrementAndGet());
    channel.basicPublish(exchange, "own", true, null, bytes("bound"));
    channel.basicPublish(exchange, "other", true, null, bytes("unbound"));
    confirmed(channel);
    equal(drain(channel, own), List.of("bound"), "the bound queue");
    equal(drain(channel, rest), List.of("unbound"), "the alternate exchange's queue");
    equal(returns.get(), 0, "returned messages");
  }

  private static void passive(Client c) throws Exception {
    Channel channel = c.channel();
    String queue = queue(channel);
    publish(channel, queue, "1", "2", "3");
    DeclareOk found = channel.queueDeclarePassive(queue);
    equal(List.of(found.getQueue(), found.getMessageCount(), found.getConsumerCount()),
        List.of(queue, 3, 0), "declare-ok");
    channel.exchangeDeclarePassive("amq.topic");
    String missing = nameFor("missing");
    closes(404, texts("NOT_FOUND - no queue '" + missing + "' in vhost '/'"),
        () -> channel.queueDeclarePassive(missing));
    Channel other = c.channel();
    closes(404, texts("NOT_FOUND - no exchange '" + missing + "' in vhost '/'"),
        () -> other.exchangeDeclarePassive(missing));
  }

  private static void serverNamed(Client c) throws Exception {
    Channel channel = c.channel();
    String first = channel.queueDeclare().getQueue();
    String second = channel.queueDeclare().getQueue();
    equal(first.startsWith("amq.gen-"), true, "an amq.gen- name, not " + first);
    equal(second.startsWith("amq.gen-"), true, "an amq.gen- name, not " + second);
    equal(first.equals(second), false, "the two names are the same");
    publish(channel, first, "found");
    equal(drain(channel, first), List.of("found"), "the first queue");
    equal(drain(channel, second), List.of(), "the second queue");
  }

  private static void deleteConditions(Client c) throws Exception {
    Connection connection = c.connect();
    Channel using = openChannel(connection);
    String queue = queue(using);
    Inbox.of(using, queue);
    String[] inUse = texts("PRECONDITION_FAILED", "in use");
    closes(406, inUse, () -> using.queueDelete(queue, true, false));
    Channel filling = openChannel(connection);
    publish(filling, queue, "kept");
    closes(406, texts("PRECONDITION_FAILED", "not empty"),
        () -> filling.queueDelete(queue, false, true));
    Channel binding = openChannel(connection);
    String exchange = exchange(binding, "direct", null);
    binding.queueBind(queue, exchange, "key");
    closes(406, inUse, () -> binding.exchangeDelete(exchange, true));
    Channel deleting = openChannel(connection);
    equal(deleting.queueDelete(queue).getMessageCount(), 1, "messages deleted");
    equal(deleting.queueDelete(queue).getMessageCount(), 0, "deleted once more");
  }

  private static void redeclareMismatch(Client c) throws Exception {
    Connection connection = c.connect();
    Channel channel = openChannel(connection);
    String queue = nameFor("queue");
    String exchange = nameFor("exchange");
    for (int i = 0; i < 2; i++) {
      channel.queueDeclare(queue, false, true, false, Map.of("x-message-ttl", 10_000));
      channel.exchangeDeclare(exchange, "direct", false, true, null);
    }
    equal(ready(channel, queue), 0, "declared twice");
    closes(406, texts("PRECONDITION_FAILED - inequivalent arg 'x-message-ttl'", queue),
        () -> channel.queueDeclare(queue, false, true, false, Map.of("x-message-ttl", 20_000)));
    Channel other = openChannel(connection);
    closes(406, texts("PRECONDITION_FAILED - inequivalent arg 'type'", exchange),
        () -> other.exchangeDeclare(exchange, "fanout", false, true, null));
    openChannel(connection).exchangeDelete(exchange);
  }
}
