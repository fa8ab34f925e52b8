"""A log in a test's hand, read by one instance's fold."""

from bus.ports import Entry
from bus.stories.story import Story
from dashboard.fold.instance import InstanceFold
from schema import records
from schema.ids import LeaseToken, Offset, TaskId, Term, VmId, WorkerName
from schema.operations import VmStart
from schema.overseen import Atom
from schema.records import Record

VM = VmId("vm1")
WORKER = WorkerName("w")


class Hand:
    """Appends records, and shows what a fold makes of them."""

    def __init__(self, fold: InstanceFold | None = None) -> None:
        self.fold = fold or InstanceFold()
        self.entries: list[Entry] = []
        self.at = 1000.0
        self.term = Term(-1)

    def read(self, *log: Record) -> tuple[Story, ...]:
        ended: tuple[Story, ...] = ()
        for record in log:
            entry = Entry(Offset(len(self.entries)), self.at, record, "p", len(self.entries))
            self.entries.append(entry)
            ended += self.fold.on_entry(entry)
        return ended

    def elect(self) -> None:
        self.term = Term(len(self.entries))
        self.read(records.Elected(redirector="r"))

    def up(self, worker: WorkerName = WORKER, capacity: int = 2) -> None:
        self.read(records.WorkerUp(worker=worker, epoch="e", capacity=capacity))

    def submit(self, vm: VmId = VM, dbg: str = "lab") -> TaskId:
        task = TaskId(len(self.entries))
        operation = VmStart(vm=vm)
        self.read(
            records.Submitted(
                vm=vm, operation=operation, request_id=f"r{task}", dbg=dbg, accept_by=2e9, reply_to="inbox"
            )
        )
        return task

    def lease(self, task: TaskId, worker: WorkerName = WORKER, term: Term | None = None) -> LeaseToken:
        token = LeaseToken(len(self.entries))
        vm = VmId(self.story(task).vm)
        self.read(records.Leased(vm=vm, task=task, worker=worker, term=self.term if term is None else term))
        return token

    def finish(
        self, task: TaskId, outcome: records.Outcome | None = None, atoms: tuple[Atom, ...] = ()
    ) -> tuple[Story, ...]:
        return self.read(
            records.Finished(
                vm=VmId(self.story(task).vm),
                task=task,
                outcome=outcome or records.Succeeded(),
                duration_s=0.5,
                atoms=atoms,
            )
        )

    def story(self, task: int) -> Story:
        story = self.fold.tasks.find(task)
        assert story is not None
        return story
