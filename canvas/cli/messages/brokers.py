"""``canvas amqp`` and ``canvas list bindings``: exchanges, queues and messages by kombu, for brokers that it knows."""

from typing import Any

import click

from canvas.app.application import Canvas
from canvas.app.broker_address import broker_address
from canvas.errors import ConfigurationError
from canvas.masking import masked_url


def _channel(obj: Any) -> Any:
    """A channel of a kombu connection to the app's broker. Ends the program without kombu."""
    try:
        return obj.app.amqp.connect().default_channel
    except ConfigurationError as exc:
        raise click.UsageError(str(exc)) from exc


@click.group(invoke_without_command=True)
@click.pass_context
def amqp(ctx: click.Context, /) -> None:
    """Work on exchanges, queues and messages of the broker; see canvas queues for those of tasks.

    Without a command: connect to the broker, and report it.
    """
    if ctx.invoked_subcommand is None:
        app = ctx.obj.app
        click.echo(f"-> connecting to {masked_url(broker_address(app.conf))}.")
        app.driver.broker.check()
        click.echo("-> connected.")


@amqp.command("exchange.declare")
@click.argument("exchange")
@click.argument("type")
@click.argument("passive", type=bool, default=False)
@click.argument("durable", type=bool, default=True)
@click.argument("auto_delete", type=bool, default=False)
@click.pass_obj
def exchange_declare(obj: Any, /, exchange: str, type: str, **options: bool) -> None:
    """Declare an exchange."""
    _channel(obj).exchange_declare(exchange=exchange, type=type, **options)
    click.echo("OK")


@amqp.command("exchange.delete")
@click.argument("exchange")
@click.argument("if_unused", type=bool, default=False)
@click.pass_obj
def exchange_delete(obj: Any, /, exchange: str, if_unused: bool) -> None:
    """Delete an exchange."""
    _channel(obj).exchange_delete(exchange=exchange, if_unused=if_unused)
    click.echo("OK")


@amqp.command("queue.declare")
@click.argument("queue")
@click.argument("passive", type=bool, default=False)
@click.argument("durable", type=bool, default=True)
@click.argument("auto_delete", type=bool, default=False)
@click.pass_obj
def queue_declare(obj: Any, /, queue: str, **options: bool) -> None:
    """Declare a queue, and print its name, its messages and its consumers."""
    found = _channel(obj).queue_declare(queue=queue, **options)
    click.echo(f"queue:{found.queue} messages:{found.message_count} consumers:{found.consumer_count}\nOK")


@amqp.command("queue.bind")
@click.argument("queue")
@click.argument("exchange")
@click.argument("routing_key")
@click.pass_obj
def queue_bind(obj: Any, /, **names: str) -> None:
    """Bind a queue to an exchange."""
    try:
        _channel(obj).queue_bind(**names)
    except KeyError as exc:
        raise click.ClickException(
            f"exchange {exc.args[0]!r} is not known: on this broker kombu keeps exchanges in memory only, so that the "
            "program that declares an exchange must bind its queues, too"
        ) from exc
    click.echo("OK")


@amqp.command("queue.delete")
@click.argument("queue")
@click.argument("if_unused", type=bool, default=False)
@click.argument("if_empty", type=bool, default=False)
@click.pass_obj
def queue_delete(obj: Any, /, queue: str, **options: bool) -> None:
    """Delete a queue."""
    _channel(obj).queue_delete(queue=queue, **options)
    click.echo("OK")


@amqp.command("queue.purge")
@click.argument("queue")
@click.pass_obj
def queue_purge(obj: Any, /, queue: str) -> None:
    """Delete the messages of a queue."""
    click.echo(f"{_channel(obj).queue_purge(queue=queue)}\nOK")


@amqp.command("basic.get")
@click.argument("queue")
@click.argument("no_ack", type=bool, default=False)
@click.pass_obj
def basic_get(obj: Any, /, queue: str, no_ack: bool) -> None:
    """Print a message of a queue. Without NO_ACK it returns to the queue."""
    channel = _channel(obj)
    message = channel.basic_get(queue, no_ack=no_ack)
    if message is None:
        click.echo("EMPTY QUEUE")
        return
    click.echo(f"headers: {message.headers}\nproperties: {message.properties}\nbody: {message.body!r}")
    if not no_ack:
        channel.basic_reject(message.delivery_tag, requeue=True)
    click.echo("OK")


@amqp.command("basic.publish")
@click.argument("message")
@click.argument("exchange")
@click.argument("routing_key")
@click.pass_obj
def basic_publish(obj: Any, /, message: str, exchange: str, routing_key: str) -> None:
    """Send text."""
    with obj.app.producer_or_acquire() as producer:
        producer.publish(message, exchange=exchange, routing_key=routing_key, serializer="json")
    click.echo("OK")


@click.group("list")
def list_() -> None:
    """Information about the broker."""


@list_.command()
@click.pass_obj
def bindings(obj: Any, /) -> None:
    """List queues, the exchanges that they are bound to, and their routing keys."""
    rows = _bindings(obj.app)
    click.echo(f"{'Queue':<28} {'Exchange':<28} Routing Key")
    for row in rows:
        click.echo(f"{row['destination']:<28} {row['source']:<28} {row['routing_key']}")


def _bindings(app: Canvas) -> Any:
    """The bindings of the broker; of one that kombu does not know, those of the app's queues."""
    try:
        connection = app.amqp.connect()
    except ConfigurationError:
        return [
            {"destination": queue.name, "source": queue.exchange or queue.name, "routing_key": queue.routing_key}
            for queue in app.router.consumed([], [])
        ]
    with connection:
        for queue in app.amqp.queues.values():
            queue(connection.default_channel).declare()
        try:
            return connection.manager.get_bindings()
        except NotImplementedError:
            raise click.UsageError("the broker cannot list its bindings; canvas queues shows the queues") from None
