"""What every backend must tell of its host."""
# ruff: noqa: S101  it is a test suite, shipped

from schema.objects.host import GuestAgentFeature

from engine.conformance.subject import Subject


class HostConformance:
    """The host as a whole."""

    def test_the_host_has_cpus_and_memory(self, subject: Subject) -> None:
        """HOST.stat and HOST.get_total_memory_mib are filled in."""
        cpus = subject.backend.host.stat().cpu_info
        assert cpus.cpu_count > 0
        assert cpus.socket_count > 0
        assert subject.backend.host.total_memory_mib() > 0

    def test_the_host_has_a_console(self, subject: Subject) -> None:
        """Reading it and pressing keys are harmless."""
        subject.needs("HOST.console_data", "HOST.send_debug_keys")
        subject.backend.host.send_debug_keys("h")
        assert isinstance(subject.backend.host.console_data(), str)

    def test_agent_features_are_taken_again_and_again(self, subject: Subject) -> None:
        """HOST.update_guest_agent_features is idempotent."""
        subject.needs("HOST.update_guest_agent_features")
        feature = GuestAgentFeature(name="f", licensed=True, parameters=(("a", "b"),))
        subject.backend.host.update_guest_agent_features([feature])
        subject.backend.host.update_guest_agent_features([feature])

    def test_a_host_is_compatible_with_itself(self, subject: Subject) -> None:
        """And what it has in common with itself is all it has."""
        subject.needs("HOST.combine_cpu_policies", "HOST.is_compatible")
        host = subject.backend.host
        policy = host.stat().cpu_info.features_hvm
        assert host.combine_cpu_policies(policy, policy) == policy
        assert host.is_compatible(policy, policy)
