package interop;

import static interop.Facts.comparable;
import static interop.Facts.equal;
import static interop.Facts.singleDeath;
import static interop.Client.bytes;
import static interop.Client.drain;
import static interop.Client.exchange;
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
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.GetResponse;
import interop.Board.Scenario;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/** Consuming, settling, prefetch, get and dead letters with the Java client. */
final class Consuming {
  static final List<Scenario> SCENARIOS = List.of(
      new Scenario("consume-order", Consuming::consumeOrder),
      new Scenario("requeue", Consuming::requeue),
      new Scenario("ack-multiple", Consuming::ackMultiple),
      new Scenario("reject", Consuming::reject),
      new Scenario("prefetch", Consuming::prefetch),
      new Scenario("get", Consuming::get),
      new Scenario("ttl-dead-letter", Consuming::ttlDeadLetter),
      new Scenario("direct-reply-to", Consuming::directReplyTo),
      new Scenario("consumer-cancel-notify", Consuming::consumerCancelNotify));

  private Consuming() {}

  private static String seen(Delivery delivery) {
    return text(delivery.getBody()) + " " + delivery.getEnvelope().isRedeliver();
  }

  private static long tag(Delivery delivery) {
    return delivery.getEnvelope().getDeliveryTag();
  }

  private static String[] numbers(int count) {
    return IntStream.range(0, count).mapToObj(String::valueOf).toArray(String[]::new);
  }

  private static void consumeOrder(Client c) throws Exception {
    Channel channel = c.channel();
    String queue = queue(channel);
    publish(channel, queue, numbers(10));
    Inbox inbox = Inbox.start(channel, queue, "mine", false);
    for (int i = 0; i < 10; i++) {
      Delivery delivery = inbox.one();
      // The client's threads tell the consumer its tag before its first delivery, not before.
      equal(inbox.getConsumerTag(), "mine", "the consumer's tag");
      Envelope envelope = delivery.getEnvelope();
      equal(seen(delivery), i + " false", "order, none redelivered");
      equal(envelope.getDeliveryTag(), i + 1L, "delivery tag");
      equal(envelope.getExchange() + envelope.getRoutingKey(), queue, "exchange and key");
      channel.basicAck(envelope.getDeliveryTag(), false);
    }
    equal(settledCount(channel, queue, inbox), 0, "left after the acks");
  }

  /** What is ready once the consumer is gone and all unacked messages are back. */
  private static int settledCount(Channel channel, String queue, Inbox inbox) throws Exception {
    channel.basicCancel(inbox.getConsumerTag());
    channel.basicRecover(true);
    return ready(channel, queue);
  }

  private static void requeue(Client c) throws Exception {
    Connection connection = c.connect();
    Channel channel = openChannel(connection);
    String queue = queue(channel);
    publish(channel, queue, "a", "b");
    channel.basicQos(1);
    Inbox inbox = Inbox.of(channel, queue);
    Delivery first = inbox.one();
    equal(seen(first), "a false", "the first delivery");
    channel.basicNack(tag(first), false, true);
    Delivery again = inbox.one();
    equal(seen(again), "a true", "after the nack");
    channel.basicAck(tag(again), false);
    equal(seen(inbox.one()), "b false", "the second message");
    channel.close();
    equal(seen(Inbox.of(openChannel(connection), queue).one()), "b true", "its channel closed");
  }

  private static void ackMultiple(Client c) throws Exception {
    Channel channel = c.channel();
    String queue = queue(channel);
    publish(channel, queue, numbers(7));
    Inbox inbox = Inbox.of(channel, queue);
    inbox.take(7);
    channel.basicAck(3, true);
    channel.basicNack(5, true, false);
    channel.basicAck(6, false);
    equal(settledCount(channel, queue, inbox), 1, "left unsettled");
    equal(drain(channel, queue), List.of("6"), "the unsettled message");
  }

  private static void reject(Client c) throws Exception {
    Channel channel = c.channel();
    String queue = queue(channel);
    publish(channel, queue, "gone", "back");
    Inbox inbox = Inbox.of(channel, queue);
    List<Delivery> taken = inbox.take(2);
    channel.basicReject(tag(taken.get(0)), false);
    channel.basicReject(tag(taken.get(1)), true);
    Delivery again = inbox.one();
    equal(seen(again), "back true", "the requeued message");
    channel.basicAck(tag(again), false);
    equal(settledCount(channel, queue, inbox), 0, "left");
  }

  private static void prefetch(Client c) throws Exception {
    Channel channel = c.channel();
    String queue = queue(channel);
    publish(channel, queue, numbers(10));
    channel.basicQos(3);
    Inbox inbox = Inbox.of(channel, queue);
    List<Delivery> taken = inbox.take(3);
    equal(ready(channel, queue), 7, "ready while three are out");
    channel.basicAck(tag(taken.get(0)), false);
    Delivery fourth = inbox.one();
    equal(seen(fourth), "3 false", "let through by one ack");
    equal(ready(channel, queue), 6, "ready after one ack");
    channel.basicAck(tag(fourth), true);
    inbox.take(3);
    equal(ready(channel, queue), 3, "ready after acking all");
    equal(inbox.isEmpty(), true, "nothing beyond the prefetch count");
  }

  private static void get(Client c) throws Exception {
    Channel channel = c.channel();
    String queue = queue(channel);
    var sent = new BasicProperties.Builder().messageId("m").contentType("text/plain").priority(3)
        .correlationId("c").type("t").appId("a").timestamp(new Date(1_700_000_000_000L)).build();
    publish(channel, queue, sent, bytes("1"));
    publish(channel, queue, "2");
    GetResponse first = channel.basicGet(queue, false);
    Envelope envelope = first.getEnvelope();
    equal(envelope.getExchange() + envelope.getRoutingKey(), queue, "exchange and key");
    equal(List.of(envelope.getDeliveryTag(), first.getMessageCount(), envelope.isRedeliver()),
        List.of(1L, 1, false), "tag, count left, redelivered");
    equal(first.getProps(), sent, "properties");
    equal(text(first.getBody()), "1", "body");
    channel.basicAck(envelope.getDeliveryTag(), false);
    GetResponse last = channel.basicGet(queue, true);
    equal(last.getMessageCount(), 0, "left after the second");
    equal(last.getEnvelope().getDeliveryTag(), 2L, "tag of the second");
    equal(channel.basicGet(queue, false), null, "get-empty");
  }

  private static void ttlDeadLetter(Client c) throws Exception {
    Channel channel = c.channel();
    String target = queue(channel);
    String exchange = exchange(channel, "direct", null);
    channel.queueBind(target, exchange, "dead");
    String source = queue(channel,
        Map.of("x-dead-letter-exchange", exchange, "x-dead-letter-routing-key", "dead"));
    Inbox inbox = Inbox.of(channel, target);
    var late = new BasicProperties.Builder().expiration("50").headers(Map.of("mine", 1)).build();
    publish(channel, source, late, bytes("late"));
    Delivery expired = inbox.one();
    BasicProperties properties = expired.getProperties();
    Map<?, ?> death = singleDeath(properties.getHeaders(), source, "expired", "", source);
    equal(comparable(death.get("original-expiration")), "50", "original-expiration");
    Envelope envelope = expired.getEnvelope();
    equal(envelope.getExchange() + " " + envelope.getRoutingKey(), exchange + " dead", "route");
    equal(properties.getExpiration(), null, "expiration");
    equal(properties.getHeaders().get("mine"), 1, "own header");
    publish(channel, source, "bad");
    channel.basicReject(channel.basicGet(source, false).getEnvelope().getDeliveryTag(), false);
    singleDeath(inbox.one().getProperties().getHeaders(), source, "rejected", "", source);
  }

  private static void directReplyTo(Client c) throws Exception {
    Channel asking = c.channel();
    Channel answering = c.channel();
    String requests = sharedQueue(answering);
    Inbox server = Inbox.noAck(answering, requests);
    Inbox answers = Inbox.noAck(asking, "amq.rabbitmq.reply-to");
    var request = new BasicProperties.Builder().replyTo("amq.rabbitmq.reply-to")
        .correlationId("7").build();
    publish(asking, requests, request, bytes("question"));
    String replyTo = server.one().getProperties().getReplyTo();
    equal(replyTo.startsWith("amq.rabbitmq.reply-to."), true, "reply-to is rewritten");
    var reply = new BasicProperties.Builder().correlationId("7").build();
    publish(answering, replyTo, reply, bytes("answer"));
    Delivery answer = answers.one();
    equal(text(answer.getBody()) + " " + answer.getProperties().getCorrelationId(), "answer 7",
        "the answer");
    answering.queueDelete(requests);
  }

  private static void consumerCancelNotify(Client c) throws Exception {
    Channel channel = c.channel();
    Channel other = c.channel();
    String queue = sharedQueue(channel);
    Inbox inbox = Inbox.start(channel, queue, "mine", false);
    other.queueDelete(queue);
    equal(inbox.cancellation(), "mine", "the cancelled consumer");
    publish(channel, queue(channel), "the channel goes on");
  }
}
