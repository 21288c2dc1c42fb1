"""Pictures of workflows, runs and signatures: every box and every line is there, and can be followed."""

import random
from xml.etree import ElementTree

import pytest

from canvas import Canvas, Workflow, chain, chord, group
from canvas.graph.pictures.collapsed import run_picture
from canvas.graph.pictures.drawing import draw_run
from canvas.graph.pictures.shapes import Box, Edge, Picture
from canvas.graph.pictures.svg import svg
from canvas.graph.pictures.text import text

SVG = "{http://www.w3.org/2000/svg}"
EAST, WEST, SOUTH, NORTH = (0, 1), (0, -1), (1, 0), (-1, 0)
TURNS = {
    "│": {NORTH, SOUTH}, "┆": {NORTH, SOUTH}, "─": {EAST, WEST}, "┄": {EAST, WEST}, "┌": {SOUTH, EAST},
    "┐": {SOUTH, WEST}, "└": {NORTH, EAST}, "┘": {NORTH, WEST}, "├": {NORTH, SOUTH, EAST},
    "┤": {NORTH, SOUTH, WEST}, "┬": {SOUTH, EAST, WEST}, "┴": {NORTH, EAST, WEST}, "┼": {NORTH, SOUTH, EAST, WEST},
}  # fmt: skip


@pytest.fixture
def app():
    app = Canvas("p", broker="memory://", backend="memory://")
    app.task(name="t", shared=False)(lambda *args, **kwargs: args)
    return app


def t(app, *args):
    return app.tasks["t"].s(*args)


def lines_of(picture, boxes):
    """The lines that a picture in text shows: where one may go from a box's lower edge down to another's upper edge."""
    rows = picture.splitlines()
    width = max(map(len, rows))
    grid = [row.ljust(width) for row in rows]
    tops, bottoms = {}, {}
    for name in boxes:
        ((row, column),) = [(r, line.index(f"│ {name} ")) for r, line in enumerate(grid) if f"│ {name} " in line] or [
            (r, line.index(f" {name} ")) for r, line in enumerate(grid) if f" {name} " in line
        ]
        left = grid[row].rindex("│", 0, column + 1)
        right = grid[row].index("│", column + 1)
        for at in range(left, right + 1):
            if grid[row - 1][at] == "┴":
                tops[row - 1, at] = name
            if grid[row + 1][at] == "┬":
                bottoms.setdefault(name, []).append((row + 1, at))
    found = set()
    for name, ports in bottoms.items():
        for port in ports:
            found |= {(name, after) for after in followed(grid, port, tops)}
    return found


def followed(grid, port, tops):
    waiting, seen, found = [((port[0] + 1, port[1]), SOUTH)], set(), set()
    while waiting:
        place, heading = waiting.pop()
        if (place, heading) in seen:
            continue
        seen.add((place, heading))
        if place in tops:
            found.add(tops[place])
            continue
        shown = grid[place[0]][place[1]]
        if shown in "│┆" and heading in (EAST, WEST):
            # The line goes on behind the one that crosses it.
            waiting.append(((place[0], place[1] + heading[1]), heading))
            continue
        back = (-heading[0], -heading[1])
        assert back in TURNS[shown], (place, shown, heading)
        # What came from above does not go up again beside it.
        waiting += [
            ((place[0] + turn[0], place[1] + turn[1]), turn) for turn in TURNS[shown] if turn not in (back, NORTH)
        ]
    return found


def drawn_edges(edges, boxes):
    return lines_of(
        text(Picture([Box(f"n{number}") for number in range(boxes)], edges)), [f"n{n}" for n in range(boxes)]
    )


@pytest.mark.parametrize("seed", range(40))
def test_every_line_can_be_followed(seed):
    chance = random.Random(seed)
    boxes = chance.randint(2, 11)
    edges = [
        Edge(before, after, chance.random() < 0.2)
        for after in range(1, boxes)
        for before in chance.sample(range(after), min(after, chance.choice([0, 1, 1, 2])))
    ]
    expected = {(f"n{edge.before}", f"n{edge.after}") for edge in edges}
    assert drawn_edges(edges, boxes) == expected


@pytest.mark.parametrize("seed", range(10))
def test_no_line_of_an_svg_runs_behind_a_box(seed):
    chance = random.Random(seed)
    boxes = 12
    edges = [Edge(before, after) for after in range(1, boxes) for before in range(after) if chance.random() < 0.2]
    root = ElementTree.fromstring(svg(Picture([Box(f"n{number}" * 3) for number in range(boxes)], edges)))
    rects = [tuple(float(box.attrib[key]) for key in ("x", "y", "width", "height")) for box in root.iter(f"{SVG}rect")]
    assert len(rects) >= boxes
    assert all(x >= 0 and y >= 0 for x, y, _, _ in rects)
    levels = [path.attrib["d"] for path in root.iter(f"{SVG}path") if " h" in path.attrib["d"]]
    for path in levels:
        x, y = map(float, path[1 : path.index(" h")].split(","))
        assert not any(left <= x < left + width and top < y < top + high for left, top, width, high in rects)
    for number, (x, y, width, high) in enumerate(rects):
        for u, v, wide, tall in rects[number + 1 :]:
            assert x + width <= u or u + wide <= x or y + high <= v or v + tall <= y


def test_a_workflow_in_text(app):
    flow = Workflow("etl", app)
    rows = flow.add(t(app), name="load")
    audited = flow.add(t(app, rows), name="audit")
    totals = flow.add(t(app, flow.map(t(app), over=rows, name="amount")), name="total")
    flow.add(t(app, totals, rows[0]), name="report", after=audited)
    assert (
        flow.draw()
        == """\
            ┌──────┐
            │ load │
            └───┬──┘
    ┌───────────┼─────────┐
┌───┴───┐  ┌────┴──────┐  │
│ audit │  │ amount ×n │  │
└───┬───┘  └─────┬─────┘  │
    └┄┄┄┄┐       │     ┌──┘
         ┆  ┌────┴──┐  │
         ┆  │ total │  │
         ┆  └───┬───┘  │
         └┄┄┄┐  │ ┌────┘
           ┌─┴──┴─┴─┐
           │ report │
           └────────┘

┄┄ nothing is passed"""
    )


@pytest.mark.parametrize(
    ("make", "edges"),
    [
        (lambda s: s("a"), set()),
        (lambda s: chain(s("a"), s("b"), s("c")), {("a", "b"), ("b", "c")}),
        (lambda s: group(s("a"), s("b")), set()),
        (lambda s: chord([s("a"), s("b")], s("c")), {("a", "c"), ("b", "c")}),
        (lambda s: chain(s("a"), group(s("b"), s("c")), s("d")), {("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")}),
        (
            lambda s: chain(group(s("a"), s("b")), group(s("c"), s("d"))),
            {("a", "all 2 results"), ("b", "all 2 results"), ("all 2 results", "c"), ("all 2 results", "d")},
        ),
        (lambda s: group(chain(s("a"), s("b")), chord([s("c"), s("d")], s("e"))), {("a", "b"), ("c", "e"), ("d", "e")}),
    ],
)
def test_every_composition_has_a_picture(app, make, edges):
    sig = make(app.signature)
    boxes = {name for edge in edges for name in edge} or {"a"}
    shown = sig.draw().replace("()", "  ")
    assert lines_of(shown, boxes) == edges
    assert sig.draw("mermaid").count("-->") == sig.draw("dot").count("->") == len(edges)
    assert sig.draw("svg").count("marker-end") == len(edges)


def test_compositions_of_nothing_and_of_chunks(app):
    assert "empty chain" in chain(app=app).draw()
    assert "empty group" in group(app=app).draw("svg")
    assert app.tasks["t"].chunks([(1,), (2,), (3,)], 2).draw().count("t.starmap(") == 2
    with pytest.raises(ValueError, match="form: expected one of text, mermaid, dot, svg; got 'png'"):
        t(app).draw("png")


def test_a_notebook_shows_pictures_without_further_packages(app):
    assert chain(t(app, 1), t(app, 2))._repr_svg_().startswith("<svg")
    assert t(app)._repr_svg_() is None
    assert chord([t(app)], app=app)._repr_svg_() is None
    flow = Workflow("flow", app)
    assert flow._repr_svg_() is None
    flow.add(t(app))
    assert flow._repr_svg_().startswith("<svg")


def test_states_have_marks_and_colours(app):
    flow = Workflow("flow", app)
    node = flow.add(t(app), name="one")
    flow.add(t(app, node), name="two")
    run = flow.apply()
    assert "│ ✔ one │" in run.draw()
    assert run.draw("svg").count("#b7e1b5") == 2


def test_many_boxes_alike_are_counted(app):
    flow = Workflow("flow", app)
    first = flow.add(t(app), name="first")
    many = [flow.add(t(app, first), name=f"m{number}") for number in range(40)]
    flow.add(t(app, many), name="last")
    shown = flow.draw()
    assert "… 35 more" in shown
    assert max(map(len, shown.splitlines())) <= 100
    nodes = flow.apply().nodes
    states = {f"m{number}": "STARTED" if number == 39 else "SUCCESS" for number in range(40)}
    assert "▶ m39" in draw_run(nodes, states, "text")
    assert "35 ✔" in draw_run(nodes, states, "text")


def test_lines_between_many_and_several_meet(app):
    flow = Workflow("flow", app)
    layer = [flow.add(app.signature("t"), name=f"a{number}") for number in range(5)]
    for number in range(3):
        flow.add(t(app, *layer), name=f"b{number}")
    shown = flow.draw()
    assert lines_of(shown, ["all 5", *(f"b{n}" for n in range(3))]) == {("all 5", f"b{n}") for n in range(3)}


def test_what_has_too_many_lines_is_a_list():
    edges = [Edge(before, after) for after in range(90) for before in range(after)]
    shown = text(Picture([Box(f"n{number}") for number in range(90)], edges))
    assert "n1 ← n0\n" in shown
    assert "n50 ← n0, n1, n2, n3, … 46 more\n" in shown


def test_labels_are_whole_in_an_svg_and_dashes_are_explained(app):
    flow = Workflow("flow", app)
    first = flow.add(t(app), name="a-rather-long-name-of-a-node <&>")
    flow.add(t(app), name="after", after=first)
    root = ElementTree.fromstring(flow.draw("svg"))
    texts = [one.text for one in root.iter(f"{SVG}text")]
    assert "a-rather-long-name-of-a-node <&>" in texts
    assert "nothing is passed" in texts
    assert "background:#ffffff" in root.attrib["style"]


def test_an_arm_is_named_where_its_node_is(app):
    flow = Workflow("flow", app)
    on = flow.add(t(app), name="on")
    flow.branch(on, {"x": t(app), 3: flow.add(t(app), name="named")}, name="choice")
    shown = flow.draw()
    assert "│ 3 → named │" in shown
    assert "│ choice.x │" in shown


def test_wide_characters_take_two_columns(app):
    flow = Workflow("flow", app)
    flow.add(t(app), name="表")
    assert flow.draw() == "┌────┐\n│ 表 │\n└────┘"


@pytest.mark.parametrize("shape", ["wide", "deep", "layers", "small"])
def test_nodes_of_large_runs_share_boxes_that_can_be_expanded(app, shape):
    flow = Workflow("w", app)
    if shape in ("deep", "small"):
        before = []
        for at in range(1_000 if shape == "deep" else 100):
            before = [flow.add(t(app), name=f"n-{at}", after=before)]
    else:
        first = [flow.add(t(app), name=f"first-{at}") for at in range(200)]
        for at in range(400):
            flow.add(t(app), name=f"n-{at}", after=first[0] if shape == "wide" else first[at % 200])
    nodes = flow.apply_async().nodes
    whole = run_picture(nodes)
    labels = [placed.box.label for placed in whole.arrangement.boxes]
    if shape == "small":
        assert len(labels) == 100
        return
    assert len(labels) <= 40
    assert sum(map(len, whole.members)) == len([node for node in nodes if node.kind not in ("start", "end")])
    assert {"wide": "n × 400", "layers": "first × 200", "deep": "n-0 … n-24 × 25"}[shape] in labels
    key = next(key for key in whole.keys if key)
    apart = run_picture(nodes, {key})
    size = len(whole.members[whole.keys.index(key)])
    assert len(apart.arrangement.boxes) == len(labels) + size - 1
