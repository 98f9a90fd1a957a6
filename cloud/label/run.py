"""One look, asked about: read, reserve, ask, settle, conclude, write. Shell."""

import logging
import threading
from collections import Counter
from collections.abc import Callable

from agent.base.clock import Clock
from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.profile import Profile
from cloud.blobs import Blobs
from cloud.config import LabelConfig
from cloud.label.answer import Answer, Failed, NoReply, Usage, read_completion
from cloud.label.budget import Budget, Reservation, most, price
from cloud.label.client import Client
from cloud.label.prompt import Question, question
from cloud.label.queue import Case, LabelQueue
from cloud.label.rules import MAX_INVALID, Done, Later, conclude, person

log = logging.getLogger(__name__)

WITHOUT_CLIENT_S = 30.0
WITHOUT_PICTURE_S = 30.0
OVER_CAP_S = 60.0


class Labeller:
    """Asks about single looks. Safe for any number of threads."""

    def __init__(
        self,
        queue: LabelQueue,
        blobs: Blobs,
        budget: Budget,
        config: LabelConfig,
        profiles: Callable[[str], Profile],
        clock: Clock,
    ) -> None:
        """Wire the parts.

        Args:
            queue: Where looks wait.
            blobs: Where their pictures lie.
            budget: What may be spent.
            config: Service, limits and thresholds.
            profiles: Profile by name; raises `BadContentError` for an unknown one.
            clock: Time.
        """
        self._queue = queue
        self._blobs = blobs
        self._budget = budget
        self._config = config
        self._profiles = profiles
        self._clock = clock
        self._client: Client | None = None
        self._calling = 0
        self._retired: list[Client] = []
        self._lock = threading.Lock()
        self._paused_until = 0.0
        self.problem = ""
        self.counters: Counter[str] = Counter()

    @property
    def paused(self) -> bool:
        """True while nothing is asked: limits, outage, no key, or the day's money is spent."""
        return self._clock.monotonic() < self._paused_until

    def close(self) -> None:
        """Close connections, also under calls that run."""
        with self._lock:
            for client in (*self._retired, *filter(None, [self._client])):
                client.close()
            self._retired, self._client = [], None

    def ask(self, batch: str, look_id: str) -> str:
        """Ask about one look of a batch, and write what follows.

        Returns:
            The outcome, or `later`, or `gone` when the look is no longer this batch's.

        Raises:
            UnavailableError: storage does not answer; the look keeps its state.
        """
        case = self._queue.begin(look_id, batch, self._clock.now())
        if case is None:
            return "gone"
        step = self._step(case)
        now = self._clock.now()
        if isinstance(step, Done):
            first = self._queue.finish(look_id, step, self._config.model, now)
            if first:
                self._count(step.outcome)
                log.info("look_done id=%s outcome=%s label=%s", look_id, step.outcome, step.label)
            return step.outcome
        self._queue.put_back(look_id, batch, step, now)
        self._count("later")
        log.info("look_waits id=%s s=%.1f %s", look_id, step.wait_s, step.why)
        if step.pause_s:
            self._pause(step.pause_s, step.why)
        return "later"

    def _step(self, case: Case) -> Done | Later:
        if self.paused:
            return Later(1.0, self.problem, counts=False)
        if case.attempts > self._config.max_attempts + MAX_INVALID:
            return person("asking about it never came to an end")
        try:
            profile = self._profiles(case.profile)
            picture, context = self._blobs.read(case.picture), self._blobs.read(case.context)
            asked = question(profile, picture, context)
        except BadContentError as error:
            return Done("rejected", None, 0.0, str(error)[:300])
        except UnavailableError as error:  # this look's trouble alone: the others go on
            return Later(WITHOUT_PICTURE_S, str(error)[:300], counts=False)
        return self._put(asked, case, frozenset(profile.labels))

    def _put(self, asked: Question, case: Case, labels: frozenset[str]) -> Done | Later:
        try:
            client = self._connected()
        except UnavailableError as error:
            return Later(WITHOUT_CLIENT_S, str(error), counts=False, pause_s=WITHOUT_CLIENT_S)
        try:
            return self._pay(client, asked, case, labels)
        finally:
            self._disconnected()

    def _pay(
        self, client: Client, asked: Question, case: Case, labels: frozenset[str]
    ) -> Done | Later:
        reserved = self._budget.reserve(case.look_id, most(asked, self._config), self._clock.now())
        if reserved is None:
            why = f"the day's {self._config.daily_cap_usd} USD are spent or reserved"
            return Later(OVER_CAP_S, why, counts=False, pause_s=OVER_CAP_S)
        result = self._call(client, asked, case, reserved, labels)
        return conclude(result, case.attempts, case.invalid, self._config)

    def _call(
        self,
        client: Client,
        asked: Question,
        case: Case,
        reserved: Reservation,
        labels: frozenset[str],
    ) -> Answer | Failed | NoReply:
        self._count("calls")
        reply = client.ask(asked, case.look_id)
        if isinstance(reply, NoReply):
            self._count(f"trouble_{reply.trouble}")
            cost = reserved.nano_usd if reply.billed else 0
            self._budget.settle(reserved, cost, Usage())
            if reply.trouble == "auth":
                self._retire(client)  # the key is read again: it may have been replaced
            return reply
        result, usage = read_completion(reply.body, labels)
        stated = usage.tokens_in is not None and usage.tokens_out is not None
        # A service that does not state its usage is taken to have used all it could.
        cost = price(usage, self._config) if stated else reserved.nano_usd
        self._budget.settle(reserved, cost, usage)
        if isinstance(result, Failed):
            self._count(f"answer_{result.failure}")
        self._recovered()
        return result

    def _connected(self) -> Client:
        with self._lock:
            if self._client is None:
                self._client = Client(self._config)
            self._calling += 1
            return self._client

    def _retire(self, client: Client) -> None:
        """Give the next call a new client; the calls that run on this one end undisturbed."""
        with self._lock:
            if self._client is client:
                self._retired.append(client)
                self._client = None

    def _disconnected(self) -> None:
        with self._lock:
            self._calling -= 1
            if self._calling == 0:
                for client in self._retired:
                    client.close()
                self._retired = []

    def _pause(self, seconds: float, why: str) -> None:
        with self._lock:
            if not self.problem:
                log.warning("labelling_pauses s=%.0f %s", seconds, why)
            self.problem = why
            self._paused_until = self._clock.monotonic() + seconds

    def _recovered(self) -> None:
        if self.problem:
            with self._lock:
                log.info("labelling_resumes after=%s", self.problem)
                self.problem = ""

    def _count(self, name: str) -> None:
        with self._lock:
            self.counters[name] += 1
