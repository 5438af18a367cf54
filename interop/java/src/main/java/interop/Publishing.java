package interop;

import static interop.Facts.comparable;
import static interop.Facts.equal;
import static interop.Client.bytes;
import static interop.Client.confirmed;
import static interop.Client.drain;
import static interop.Client.openChannel;
import static interop.Client.publish;
import static interop.Client.queue;
import static interop.Client.ready;
import static interop.Client.sharedQueue;
import static interop.Client.text;

import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.Return;
import interop.Board.Scenario;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/** Publishing, confirms, returns, transactions and bodies with the Java client. */
final class Publishing {
  static final List<Scenario> SCENARIOS = List.of(
      new Scenario("confirm", Publishing::confirm),
      new Scenario("confirm-nack", Publishing::confirmNack),
      new Scenario("return-before-confirm", Publishing::returnBeforeConfirm),
      new Scenario("tx-commit", Publishing::txCommit),
      new Scenario("tx-rollback", Publishing::txRollback),
      new Scenario("priorities", Publishing::priorities),
      new Scenario("large-message", Publishing::largeMessage),
      new Scenario("empty-message", Publishing::emptyMessage),
      new Scenario("header-tables", Publishing::headerTables));

  private static final int LARGE = 5 * 1024 * 1024;

  private Publishing() {}

  private static void confirm(Client c) throws Exception {
    Channel channel = c.channel();
    String queue = sharedQueue(channel);
    List<String> bodies = new ArrayList<>();
    for (int i = 0; i < 200; i++) {
      bodies.add("" + i);
      channel.basicPublish("", queue, MessageProperties.PERSISTENT_BASIC, bytes("" + i));
    }
    confirmed(channel);
    equal(drain(channel, queue), bodies, "confirmed messages");
    channel.queueDelete(queue);
  }

  private static void confirmNack(Client c) throws Exception {
    Channel channel = c.channel();
    String queue = queue(channel, Map.of("x-max-length", 1, "x-overflow", "reject-publish"));
    publish(channel, queue, "fits");
    channel.basicPublish("", queue, null, bytes("does not"));
    equal(channel.waitForConfirms(15_000), false, "the second publish is acked");
    equal(drain(channel, queue), List.of("fits"), "the queue's messages");
  }

  private static void returnBeforeConfirm(Client c) throws Exception {
    Channel channel = c.channel();
    BlockingQueue<Object> events = new LinkedBlockingQueue<>();
    channel.addReturnListener(events::add);
    channel.addConfirmListener(
        (tag, multiple) -> events.add("ack"), (tag, multiple) -> events.add("nack"));
    var properties = new BasicProperties.Builder().messageId("m1").headers(Map.of("n", 1)).build();
    channel.basicPublish("amq.direct", "nobody.home", true, properties, bytes("back"));
    Object first = events.take();
    equal(first instanceof Return, true, "the return comes before the confirm, not " + first);
    equal(events.take(), "ack", "the second event");
    Return back = (Return) first;
    equal(back.getReplyCode() + " " + back.getReplyText(), "312 NO_ROUTE", "basic.return");
    equal(back.getExchange() + " " + back.getRoutingKey(), "amq.direct nobody.home", "route");
    equal(text(back.getBody()) + " " + back.getProperties().getMessageId(), "back m1", "content");
    equal(back.getProperties().getHeaders(), Map.of("n", 1), "returned headers");
    channel.basicPublish("", queue(channel), true, properties, bytes("routable"));
    equal(events.take(), "ack", "the answer to a routable message");
  }

  private static void txCommit(Client c) throws Exception {
    Channel channel = c.connect().createChannel();
    String queue = queue(channel);
    channel.txSelect();
    channel.basicPublish("", queue, null, bytes("1"));
    channel.basicPublish("", queue, null, bytes("2"));
    equal(ready(channel, queue), 0, "ready before commit");
    channel.txCommit();
    equal(ready(channel, queue), 2, "ready after commit");
    channel.basicAck(channel.basicGet(queue, false).getEnvelope().getDeliveryTag(), false);
    channel.txCommit();
    channel.basicRecover(true);
    equal(drain(channel, queue), List.of("2"), "left after a committed ack");
  }

  private static void txRollback(Client c) throws Exception {
    Connection connection = c.connect();
    Channel channel = connection.createChannel();
    String queue = queue(channel);
    channel.txSelect();
    channel.basicPublish("", queue, null, bytes("kept"));
    channel.txCommit();
    channel.basicAck(channel.basicGet(queue, false).getEnvelope().getDeliveryTag(), false);
    channel.basicPublish("", queue, null, bytes("dropped"));
    channel.txRollback();
    equal(ready(channel, queue), 0, "ready after rollback");
    channel.close();
    Delivery back = Inbox.of(openChannel(connection), queue).one();
    equal(text(back.getBody()) + " " + back.getEnvelope().isRedeliver(), "kept true",
        "the message whose ack was undone");
  }

  private static void priorities(Client c) throws Exception {
    Channel channel = c.channel();
    String queue = queue(channel, Map.of("x-max-priority", 10));
    List<String> expected = new ArrayList<>();
    for (int priority : Facts.PRIORITIES) {
      String body = priority + ":" + expected.size();
      var properties = new BasicProperties.Builder().priority(priority).build();
      publish(channel, queue, properties, bytes(body));
      expected.add(body);
    }
    expected.sort(Comparator.comparing((String body) -> body.charAt(0)).reversed());
    equal(drain(channel, queue), expected, "order by priority");
  }

  private static void largeMessage(Client c) throws Exception {
    Connection connection = c.connect();
    Channel channel = openChannel(connection);
    String queue = queue(channel);
    byte[] large = new byte[LARGE];
    for (int i = 0; i < large.length; i++) {
      large[i] = (byte) (i % 251);
    }
    int edge = connection.getFrameMax() - Facts.FRAME_OVERHEAD;
    int[] sizes = {LARGE, edge - 1, edge, edge + 1};
    for (int size : sizes) {
      publish(channel, queue, null, Arrays.copyOf(large, size));
    }
    Inbox inbox = Inbox.noAck(channel, queue);
    for (int size : sizes) {
      byte[] body = inbox.one().getBody();
      equal(body.length, size, "length of a large body");
      equal(Arrays.equals(body, Arrays.copyOf(large, size)), true, "content is unchanged");
    }
  }

  private static void emptyMessage(Client c) throws Exception {
    Channel channel = c.channel();
    String queue = queue(channel);
    var properties =
        new BasicProperties.Builder().messageId("empty").contentType("text/plain").build();
    publish(channel, queue, properties, new byte[0]);
    publish(channel, queue, "next");
    List<Delivery> taken = Inbox.noAck(channel, queue).take(2);
    BasicProperties back = taken.get(0).getProperties();
    equal(taken.get(0).getBody().length, 0, "length of the empty message");
    equal(back.getMessageId() + " " + back.getContentType(), "empty text/plain", "properties");
    equal(text(taken.get(1).getBody()), "next", "the message after it");
  }

  private static void headerTables(Client c) throws Exception {
    Channel channel = c.channel();
    String queue = queue(channel);
    Map<String, Object> headers = Facts.headers();
    var properties = new BasicProperties.Builder().headers(headers).build();
    publish(channel, queue, properties, new byte[0]);
    var back = Inbox.noAck(channel, queue).one().getProperties().getHeaders();
    equal(back.keySet(), headers.keySet(), "names of the headers");
    headers.forEach((name, value) ->
        equal(comparable(back.get(name)), comparable(value), "header " + name));
  }
}
