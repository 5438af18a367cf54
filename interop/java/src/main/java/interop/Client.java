package interop;

import static interop.Board.nameFor;
import static interop.Facts.contains;
import static interop.Facts.equal;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.Method;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;

/** Opens a scenario's connections and channels, and closes what is left of them. */
final class Client implements AutoCloseable {
  private static final long CONFIRM_MILLIS = 15_000;

  private final List<Connection> open = new ArrayList<>();

  /** A factory for the broker; without recovery, so that a close is seen as what it is. */
  static ConnectionFactory factory() throws Exception {
    ConnectionFactory factory = new ConnectionFactory();
    factory.setUri(System.getenv("AMQP_URI"));
    if (factory.getVirtualHost().isEmpty()) {
      factory.setVirtualHost("/");
    }
    factory.setAutomaticRecoveryEnabled(false);
    return factory;
  }

  Connection connect(ConnectionFactory factory) throws Exception {
    Connection connection = factory.newConnection();
    open.add(connection);
    return connection;
  }

  Connection connect() throws Exception {
    return connect(factory());
  }

  /** A channel in confirm mode of a connection of its own. */
  Channel channel() throws Exception {
    return openChannel(connect());
  }

  static Channel openChannel(Connection connection) throws Exception {
    Channel channel = connection.createChannel();
    channel.confirmSelect();
    return channel;
  }

  @Override
  public void close() throws IOException {
    for (Connection connection : open) {
      if (connection.isOpen()) {
        connection.close();
      }
    }
  }

  /** An exclusive queue with a name of its own. */
  static String queue(Channel channel, Map<String, Object> arguments) throws Exception {
    return channel.queueDeclare(nameFor("queue"), false, true, false, arguments).getQueue();
  }

  static String queue(Channel channel) throws Exception {
    return queue(channel, null);
  }

  /** A durable queue other connections may use; it expires by itself. */
  static String sharedQueue(Channel channel) throws Exception {
    Map<String, Object> expires = Map.of("x-expires", 60_000);
    return channel.queueDeclare(nameFor("shared"), true, false, false, expires).getQueue();
  }

  /** An auto-delete exchange with a name of its own. */
  static String exchange(Channel channel, String kind, Map<String, Object> arguments)
      throws Exception {
    String name = nameFor(kind);
    channel.exchangeDeclare(name, kind, false, true, arguments);
    return name;
  }

  /** Publishes by way of the default exchange and waits for the confirms. */
  static void publish(Channel channel, String queue, String... bodies) throws Exception {
    for (String body : bodies) {
      channel.basicPublish("", queue, null, bytes(body));
    }
    confirmed(channel);
  }

  static void publish(Channel channel, String queue, AMQP.BasicProperties properties, byte[] body)
      throws Exception {
    channel.basicPublish("", queue, properties, body);
    confirmed(channel);
  }

  /** Waits until all is confirmed; a nack fails. */
  static void confirmed(Channel channel) throws Exception {
    equal(channel.waitForConfirms(CONFIRM_MILLIS), true, "all publishes are acked");
  }

  /** The bodies of all ready messages. */
  static List<String> drain(Channel channel, String queue) throws Exception {
    List<String> bodies = new ArrayList<>();
    for (GetResponse got; (got = channel.basicGet(queue, true)) != null; ) {
      bodies.add(text(got.getBody()));
    }
    return bodies;
  }

  /** The number of ready messages. */
  static int ready(Channel channel, String queue) throws Exception {
    return channel.queueDeclarePassive(queue).getMessageCount();
  }

  /** The call ends with a close by the broker of this code, with these texts in its reason. */
  static void closes(int code, String[] texts, Callable<?> call) throws Exception {
    Object result;
    try {
      result = call.call();
    } catch (Exception failed) {
      Throwable cause = failed instanceof ShutdownSignalException ? failed : failed.getCause();
      if (cause instanceof ShutdownSignalException signal) {
        closedWith(signal, code, texts);
        return;
      }
      throw failed;
    }
    throw new AssertionError("closed with " + code + " expected, not " + result);
  }

  /** The close comes from the broker, with this code and these texts. */
  static void closedWith(ShutdownSignalException signal, int code, String... texts) {
    equal(signal.isInitiatedByApplication(), false, "closed by this side");
    Method reason = signal.getReason();
    if (reason instanceof AMQP.Channel.Close close) {
      equal(close.getReplyCode(), code, "code of channel.close");
      contains(close.getReplyText(), texts);
    } else if (reason instanceof AMQP.Connection.Close close) {
      equal(close.getReplyCode(), code, "code of connection.close");
      contains(close.getReplyText(), texts);
    } else {
      throw new AssertionError("closed without a reason: " + signal);
    }
  }

  static String[] texts(String... texts) {
    return texts;
  }

  static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  static String text(byte[] body) {
    return new String(body, StandardCharsets.UTF_8);
  }
}
