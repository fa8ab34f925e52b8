"""Strike: how each step of a scenario is done to the world."""

from collections.abc import Callable

from simulation import scenario as steps
from simulation.broker import FREED_AFTER_SILENCE_S
from simulation.client import Client
from simulation.link import LATENCY_S
from simulation.processes import Seat, World
from simulation.site import Site


class Striker:
    """Does what steps say."""

    def __init__(self, world: World, sites: tuple[Site, ...], client: Client) -> None:
        self._world = world
        self._sites = sites
        self._machines = tuple(site.machine for site in sites)
        self._seats = {name: seat for site in sites for name, seat in site.seats.items()}
        self._client = client

    def do(self, step: steps.Step) -> None:
        """One step, now."""
        broker = self._world.broker
        match step:
            case steps.BrokerKill(down_s=down_s):
                broker.stop()
                self._later(down_s, broker.start)
            case steps.LogLost():
                self._lose_log(step)
            case steps.Alarm(lasts_s=lasts_s):
                broker.set_alarm("memory")
                self._later(lasts_s, lambda: broker.set_alarm(None))
            case steps.WriterFails(lasts_s=lasts_s):
                broker.writer_fails = True
                self._later(lasts_s, lambda: setattr(broker, "writer_fails", False))
            case steps.Sever():
                self._sever(step.lasts_s)
            case steps.DiskFull(host=host, lasts_s=lasts_s):
                disk = self._machines[host].disk
                disk.is_full = True
                self._later(lasts_s, lambda: setattr(disk, "is_full", False))
            case steps.XapiStarts(host=host):
                self._sites[host].xapi.start()
            case steps.Spoil(service=service, how=how):
                broker.snapshot_stores.spoil(service, how)
            case steps.VerbFails() | steps.VerbSlow():
                self._trouble(step)
            case (
                steps.Kill()
                | steps.Lose()
                | steps.Stop()
                | steps.Pause()
                | steps.Partition()
                | steps.Cut()
                | steps.Slow()
                | steps.Skew()
            ):
                self._strike(step, self._seats.get(step.who))
            case _:
                self._client.do(step)

    def _sever(self, lasts_s: float) -> None:
        net = self._world.net
        net.sever()
        self._later(lasts_s, net.join)

    def _trouble(self, step: steps.VerbFails | steps.VerbSlow) -> None:
        seconds = step.seconds if isinstance(step, steps.VerbSlow) else 0.0
        self._machines[step.host].trouble(step.vm, step.verbs, seconds)

    def _lose_log(self, step: steps.LogLost) -> None:
        """Of one host's instance; what was said of it by then counts no more."""
        broker, site = self._world.broker, self._sites[step.host]
        broker.stop()
        broker.lose(site.instance, step.kept, bare=step.bare)
        self._client.forget(site.instance)
        site.snapshots.forget()
        site.follower.has_begun_anew = True
        self._later(step.down_s, broker.start)

    def _strike(
        self,
        step: steps.Kill
        | steps.Lose
        | steps.Stop
        | steps.Pause
        | steps.Partition
        | steps.Cut
        | steps.Slow
        | steps.Skew,
        seat: Seat | None,
    ) -> None:
        """What strikes one process; one that does not run is spared."""
        if seat is None or seat.process is None or seat.life is None:
            return
        life, link = seat.life, seat.process.bus.link
        match step:
            case steps.Kill(effects=effects, down_s=down_s):
                life.set_fuse(effects, lambda: self._kill(seat, down_s))
            case steps.Lose(effects=effects):
                life.set_fuse(effects, seat.lose)
            case steps.Stop(down_s=down_s):
                seat.stop()
                self._later(down_s + 30.0, seat.start)
            case steps.Pause(effects=effects):
                life.set_fuse(effects, lambda: self._pause(seat, step))
            case steps.Partition(lasts_s=lasts_s):
                link.stall()
                self._world.broker.watch(link, FREED_AFTER_SILENCE_S)
                self._later(lasts_s, link.go_on)
            case steps.Cut():
                self._world.broker.disconnect(link)
            case steps.Slow(latency_s=latency_s, lasts_s=lasts_s):
                link.latency_s = latency_s
                self._later(lasts_s, lambda: setattr(link, "latency_s", LATENCY_S))
            case steps.Skew(skew_s=skew_s):
                seat.clock.skew_s = skew_s

    def _kill(self, seat: Seat, down_s: float) -> None:
        seat.kill()
        self._later(down_s, seat.start)

    def _pause(self, seat: Seat, step: steps.Pause) -> None:
        process = seat.process
        if process is None:
            return
        process.life.pause()
        self._world.broker.watch(process.bus.link, FREED_AFTER_SILENCE_S)
        self._later(step.lasts_s, process.life.resume)
        if step.replaced:
            seat.leave_ghost()
            self._later(min(1.0, step.lasts_s), seat.start)

    def _later(self, delay_s: float, action: Callable[[], object]) -> None:
        self._world.scheduler.after(delay_s, action)

    def heal(self) -> None:
        """All that is wrong is put right, by whoever looks after such things; what is lost stays lost."""
        broker = self._world.broker
        self._world.net.join()
        for machine in self._machines:
            machine.disk.is_full = False
        broker.writer_fails = False
        broker.set_alarm(None)
        if not broker.up:
            broker.start()
        for seat in self._seats.values():
            seat.lay_ghosts()
            if seat.process is not None and seat.life is not None:
                seat.life.set_fuse(-1, lambda: None)
                seat.life.resume()
                seat.process.bus.link.latency_s = LATENCY_S
                seat.process.bus.link.go_on()
            seat.start()

    def an_instance_has_no_worker(self) -> bool:
        """Whether all workers of one are lost: what is asked of it waits for as long."""
        return any(site.has_no_worker for site in self._sites)

    def find(self) -> bool:
        """What was lost is there again; answers whether anything was."""
        lost = [seat for seat in self._seats.values() if seat.lost]
        for seat in lost:
            seat.lost = False
            seat.start()
        return bool(lost)
