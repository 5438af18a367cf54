package interop;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.Envelope;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/** A consumer whose deliveries wait in order of arrival. Waits end with the scenario's deadline. */
final class Inbox extends DefaultConsumer {
  private final BlockingQueue<Delivery> arrived = new LinkedBlockingQueue<>();
  private final BlockingQueue<String> cancelled = new LinkedBlockingQueue<>();

  private Inbox(Channel channel) {
    super(channel);
  }

  /** A consumer that acks by itself. */
  static Inbox of(Channel channel, String queue) throws Exception {
    return start(channel, queue, "", false);
  }

  /** A consumer without acks. */
  static Inbox noAck(Channel channel, String queue) throws Exception {
    return start(channel, queue, "", true);
  }

  static Inbox start(Channel channel, String queue, String tag, boolean noAck) throws Exception {
    Inbox inbox = new Inbox(channel);
    channel.basicConsume(queue, noAck, tag, inbox);
    return inbox;
  }

  @Override
  public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties properties,
      byte[] body) {
    arrived.add(new Delivery(envelope, properties, body));
  }

  @Override
  public void handleCancel(String tag) {
    cancelled.add(tag);
  }

  Delivery one() throws InterruptedException {
    return arrived.take();
  }

  List<Delivery> take(int count) throws InterruptedException {
    List<Delivery> taken = new ArrayList<>();
    while (taken.size() < count) {
      taken.add(one());
    }
    return taken;
  }

  boolean isEmpty() {
    return arrived.isEmpty();
  }

  /** Waits for the broker's notice that this consumer is gone. */
  String cancellation() throws InterruptedException {
    return cancelled.take();
  }
}
