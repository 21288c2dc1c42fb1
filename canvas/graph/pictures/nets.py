"""The lines of a picture in text: where they enter a box, and on which lines they go sideways."""

from dataclasses import dataclass, field

from canvas.graph.pictures.layers import Cell


@dataclass(slots=True, eq=False)
class Net:
    """The lines of one kind that leave one cell for the next layer."""

    source: int
    """Its column."""
    order: bool
    ports: list[int] = field(default_factory=list)
    """The columns of their ends."""
    track: int | None = None
    """The row between the layers in which the lines run across."""

    @property
    def span(self) -> tuple[int, int]:
        return min(self.source, *self.ports), max(self.source, *self.ports)


def ports_of(cell: Cell, sources: list[int], foreign: set[int]) -> list[int]:
    """The columns at which lines from ``sources``, in order, enter a cell: straight below a source if possible, and not
    below the lines of other cells."""
    if cell.box is None:
        return [int(cell.start)] * len(sources)
    first, last = int(cell.start) + 1, int(cell.start + cell.size) - 2
    found: list[int] = []
    for place, source in enumerate(sources):
        low = found[-1] + 1 if found else first
        high = last - (len(sources) - place - 1)
        ideal = source if first <= source <= last else first + round((place + 0.5) * (last - first) / len(sources))
        free = [column for column in range(low, high + 1) if column == source or column not in foreign]
        found.append(min(free or [low], key=lambda column: (abs(column - ideal), column)))
    return found


def lay_tracks(nets: list[Net]) -> int:
    """Give each net that goes sideways a line on which it meets no other net; returns the number of lines."""
    sideways = [net for net in nets if net.ports != [net.source]]
    ends: dict[int, list[Net]] = {}
    for net in sideways:
        for port in net.ports:
            ends.setdefault(port, []).append(net)

    def turn(net: Net) -> tuple[int, int]:
        """Lines to the left from left to right, then lines to the right from right to left: that crosses least."""
        leftwards = sum(net.ports) < net.source * len(net.ports)
        return (0, net.source) if leftwards else (1, -net.source)

    spans: list[list[tuple[int, int]]] = []
    waiting = sorted(sideways, key=turn)
    while waiting:
        # A line that leaves a column in which another line ends turns sideways above that end.
        free = [net for net in waiting if not any(_leaves_into(other, net) for other in waiting if other is not net)]
        net = (free or waiting)[0]
        waiting.remove(net)
        above = [other.track for other in sideways if other.track is not None and _leaves_into(other, net)]
        first, last = net.span
        track = max([one for one in above if one is not None], default=-1) + 1
        while track < len(spans) and any(first <= end + 1 and start <= last + 1 for start, end in spans[track]):
            track += 1
        if track == len(spans):
            spans.append([])
        spans[track].append((first, last))
        net.track = track
    return len(spans)


def _leaves_into(net: Net, other: Net) -> bool:
    """Whether ``other`` ends in the column that ``net`` leaves from."""
    return net.source in other.ports
