package interop;

import static interop.Board.nameFor;
import static interop.Facts.contains;
import static interop.Facts.equal;
import static interop.Client.bytes;
import static interop.Client.closedWith;
import static interop.Client.closes;
import static interop.Client.drain;
import static interop.Client.openChannel;
import static interop.Client.publish;
import static interop.Client.queue;
import static interop.Client.text;
import static interop.Client.texts;

import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.ShutdownNotifier;
import com.rabbitmq.client.ShutdownSignalException;
import interop.Board.Scenario;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/** Connections, channels and the scope of errors with the Java client. */
final class Connections {
  static final List<Scenario> SCENARIOS = List.of(
      new Scenario("exclusive-queue", Connections::exclusiveQueue),
      new Scenario("error-closes-channel", Connections::errorClosesChannel),
      new Scenario("error-closes-connection", Connections::errorClosesConnection),
      new Scenario("many-channels", Connections::manyChannels),
      new Scenario("reconnect", Connections::reconnect),
      new Scenario("heartbeat", Connections::heartbeat),
      new Scenario("wrong-password", Connections::wrongPassword),
      new Scenario("unknown-vhost", Connections::unknownVhost));

  private static final String IDLE_MILLIS = "4000";

  private Connections() {}

  /** The close of a channel or connection, to wait for. */
  private static CompletableFuture<ShutdownSignalException> closing(ShutdownNotifier notifier) {
    CompletableFuture<ShutdownSignalException> closed = new CompletableFuture<>();
    notifier.addShutdownListener(closed::complete);
    return closed;
  }

  private static void exclusiveQueue(Client c) throws Exception {
    Channel owner = c.channel();
    Connection other = c.connect();
    String queue = queue(owner);
    String[] locked = texts(
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '" + queue + "'");
    closes(405, locked, () -> openChannel(other).queueDeclarePassive(queue));
    closes(405, locked, () -> Inbox.of(openChannel(other), queue));
    publish(owner, queue, "still mine");
    equal(drain(owner, queue), List.of("still mine"), "the owner's queue");
  }

  private static void errorClosesChannel(Client c) throws Exception {
    Connection connection = c.connect();
    Channel failing = openChannel(connection);
    Channel steady = openChannel(connection);
    var failed = closing(failing);
    String missing = nameFor("missing");
    failing.basicPublish(missing, "", null, bytes("lost"));
    closedWith(failed.get(), 404, "NOT_FOUND - no exchange '" + missing + "' in vhost '/'");
    String queue = queue(steady);
    publish(steady, queue, "goes on");
    equal(drain(steady, queue), List.of("goes on"), "the other channel");
    Channel again = openChannel(connection);
    failed = closing(again);
    again.basicAck(77, false);
    closedWith(failed.get(), 406, "PRECONDITION_FAILED - unknown delivery tag 77");
    publish(steady, queue, "still");
    equal(connection.isOpen(), true, "the connection is open");
  }

  private static void errorClosesConnection(Client c) throws Exception {
    Connection connection = c.connect();
    Channel channel = openChannel(connection);
    var closed = closing(connection);
    closes(540, texts("NOT_IMPLEMENTED - prefetch_size!=0"), () -> {
      channel.basicQos(10, 0, false);
      return "qos-ok";
    });
    closedWith(closed.get(), 540);
    equal(connection.isOpen(), false, "the connection is open");
  }

  private static void manyChannels(Client c) throws Exception {
    Connection connection = c.connect();
    List<Channel> channels = new ArrayList<>();
    List<String> queues = new ArrayList<>();
    HashSet<Integer> numbers = new HashSet<>();
    for (int i = 0; i < 200; i++) {
      Channel channel = openChannel(connection);
      channels.add(channel);
      numbers.add(channel.getChannelNumber());
      queues.add(channel.queueDeclare().getQueue());
    }
    equal(numbers.size(), 200, "channels open at once");
    for (int i = 0; i < 200; i++) {
      publish(channels.get(i), queues.get(i), queues.get(i));
    }
    for (int i = 199; i >= 0; i--) {
      equal(drain(channels.get(i), queues.get(i)), List.of(queues.get(i)), "queue");
    }
  }

  private static void reconnect(Client c) throws Exception {
    String name = nameFor("again");
    for (int i = 0; i < 5; i++) {
      Connection connection = c.connect();
      Channel channel = openChannel(connection);
      var declared = channel.queueDeclare(name, false, true, false, null);
      equal(declared.getMessageCount(), 0, "messages of the new queue");
      publish(channel, name, "dies with its queue");
      connection.close();
    }
  }

  /** The wait is a message that expires later: nothing else moves on the connection. */
  private static void heartbeat(Client c) throws Exception {
    ConnectionFactory factory = Client.factory();
    factory.setRequestedHeartbeat(1);
    Connection connection = c.connect(factory);
    equal(connection.getHeartbeat(), 1, "the negotiated interval");
    Channel channel = openChannel(connection);
    String target = queue(channel);
    String waiting = queue(channel,
        Map.of("x-dead-letter-exchange", "", "x-dead-letter-routing-key", target));
    Inbox inbox = Inbox.noAck(channel, target);
    var late = new BasicProperties.Builder().expiration(IDLE_MILLIS).build();
    publish(channel, waiting, late, bytes("after the idle time"));
    equal(text(inbox.one().getBody()), "after the idle time", "delivered when idle");
    equal(connection.isOpen(), true, "the connection is open");
  }

  private static void wrongPassword(Client c) throws Exception {
    ConnectionFactory factory = Client.factory();
    factory.setPassword("wrong");
    try {
      c.connect(factory);
    } catch (AuthenticationFailureException refused) {
      contains(refused.getMessage(), Facts.WRONG_PASSWORD_TEXT);
      return;
    }
    throw new AssertionError("a wrong password was accepted");
  }

  private static void unknownVhost(Client c) throws Exception {
    ConnectionFactory factory = Client.factory();
    String name = nameFor("vhost");
    factory.setVirtualHost(name);
    closes(530, texts("NOT_ALLOWED - vhost " + name + " not found"), () -> c.connect(factory));
  }
}
