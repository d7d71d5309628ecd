"""What the launchers of several nodes tell each other, through the store in which they met."""

import time

from torch import distributed as dist

SECONDS_BETWEEN_LOOKS = 2
SECONDS_TO_FOLLOW = 15  # for this node's workers to end by themselves, and for the others to hear of the end


class OtherNodes:
    """Restarts and ends with the other nodes.

    A failed worker ends the peers it was just talking to. A node whose only worker hangs would not notice, and
    a node that is not started again would keep the others waiting.

    Attributes:
        ended (str): What happened elsewhere.
        status (int): The exit status there, or 1.
        restarts (bool): Whether it is starting again.
    """

    def __init__(self) -> None:
        self.ended, self.status, self.restarts = '', 1, False
        self._store, self._rank, self._nodes = None, 0, 1
        self._count, self._next, self._since = 0, 0.0, 0.0

    def meet(self, store, rank: int, nodes: int) -> None:
        """Before the workers start; ``store`` is the agents' own."""
        self._store, self._rank, self._nodes = store, rank, nodes

    def restart(self, count: int) -> None:
        """Tell that this node starts its workers again, for the ``count``-th time."""
        self._count, self.ended, self._since, self.restarts = count, '', 0.0, False
        if self._nodes > 1 and self._store is not None:
            self._store.set(f'hsakd_mm/restart/{count}', '')

    def listen(self, asked: bool) -> bool:
        """Whether the workers of this node have to end because of another node.

        Args:
            asked (bool): They were asked to stop, and end by themselves.
        """
        now = time.monotonic()
        if self._nodes > 1 and not self.ended and now >= self._next:
            self._next = now + SECONDS_BETWEEN_LOOKS
            self._look()
            self._since = now
        return bool(self.ended) and not asked and (self.restarts or now >= self._since + SECONDS_TO_FOLLOW)

    def _look(self) -> None:
        assert self._store is not None
        try:
            if self._store.check([f'hsakd_mm/restart/{self._count + 1}']):
                self.ended, self.restarts = 'another node starts its processes again', True
            elif self._store.check(['hsakd_mm/ended']):
                node, status = self._store.get('hsakd_mm/ended').decode().split()
                self.ended, self.status = f'node {node} ended with status {status}', int(status)
        except (dist.DistError, RuntimeError):  # node 0 holds the store
            self.ended = 'the launcher of node 0 has gone'

    def end(self, status: int) -> None:
        """Tell that this node has ended; the one that holds the store waits until the others have heard it."""
        if self._nodes == 1 or self._store is None:
            return
        try:
            if not self._store.check(['hsakd_mm/ended']):
                self._store.set('hsakd_mm/ended', f'{self._rank} {status}')
            self._store.set(f'hsakd_mm/ended/{self._rank}', '')
            everyone = [f'hsakd_mm/ended/{rank}' for rank in range(self._nodes)]
            end = time.monotonic() + 2 * SECONDS_TO_FOLLOW
            while self._rank == 0 and not self._store.check(everyone) and time.monotonic() < end:
                time.sleep(0.1)
        except (dist.DistError, RuntimeError):
            pass
