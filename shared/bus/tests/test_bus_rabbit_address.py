import pika
import pytest
from bus.ports import BusAddressError
from bus.rabbit.address import address_of, nodes_of


def test_one_url_is_one_node() -> None:
    assert [address_of(node) for node in nodes_of("amqp://u:p@a:1/v", "me")] == ["a:1"]


@pytest.mark.parametrize("between", [",", ", ", " ,\n"])
def test_urls_divided_by_commas_are_nodes_of_a_cluster_in_their_order(between: str) -> None:
    nodes = nodes_of(between.join(["amqp://u:p@b:1/v", "amqp://u:p@a:2/v"]), "me")
    assert [address_of(node) for node in nodes] == ["b:1", "a:2"]


def test_a_comma_within_a_url_divides_nothing() -> None:
    (node,) = nodes_of("amqp://u:p,q@a:1/v,w", "me")
    assert (node.virtual_host, node.credentials) == ("v,w", pika.PlainCredentials("u", "p,q"))


@pytest.mark.parametrize("other", ["amqp://u:p@b:1/w", "amqp://x:p@b:1/v", "amqp://u:x@b:1/v"])
def test_nodes_of_one_cluster_have_one_virtual_host_and_one_user(other: str) -> None:
    with pytest.raises(BusAddressError, match="must be nodes of one cluster") as caught:
        nodes_of(f"amqp://u:p@a:1/v,{other}", "me")
    assert ":p@" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "http://a", "amqp://u:p@a:x/v", "amqp://u:p@a:1/v,amqp://u:p@a:x/v"])
def test_what_is_no_url_of_a_broker_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(BusAddressError) as caught:
        nodes_of(url, "me")
    assert "u:p" not in str(caught.value)
