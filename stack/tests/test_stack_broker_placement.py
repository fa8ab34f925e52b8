from stack.broker.placement import ALONE, Placement

PEERS = ("10.0.0.11", "10.0.0.12")
SECOND = Placement("198.18.0.12", "10.0.0.12", ("nsenter",), PEERS)


def test_a_node_that_is_alone_needs_nobody_and_takes_any_port() -> None:
    assert ALONE.ports == []
    assert ALONE.configuration() == ""
    assert ALONE.environment()["RABBITMQ_NODENAME"] == "xenops@localhost"


def test_every_node_leaves_processors_to_those_who_use_it_and_wakes_few_threads() -> None:
    for placement in (ALONE, SECOND):
        assert "+SP 50:50 +SDio 1 " in placement.environment()["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"]


def test_a_node_of_a_cluster_is_known_by_its_inner_address_and_names_all_peers() -> None:
    assert SECOND.environment()["RABBITMQ_NODENAME"] == "xenops@10.0.0.12"
    assert "{10,0,0,12}" in SECOND.environment()["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"]
    assert "nodes.1 = xenops@10.0.0.11\n" in SECOND.configuration()
    assert "nodes.2 = xenops@10.0.0.12\n" in SECOND.configuration()
    assert "pause_minority" in SECOND.configuration()
    assert len(set(SECOND.ports)) == 3
