"""`soma flow [SAGA]`: the choreography, drawn."""

from typing import Literal

from consumers.runtime.drawing import as_json, as_mermaid, as_text
from deploy.cli.talking import chosen, graphs_of, guarded, show
from producers.settings import Settings

DRAWN = {"text": as_text, "mermaid": as_mermaid}


def flow(settings: Settings, saga: str | None, shape: Literal["text", "mermaid", "json"]) -> int:
    """Print the flow of one saga kind, or of all; needs neither Kafka nor a stack.

    As JSON it is one object: the flow, or `{"flows": […]}` where no saga is named. Returns 0, 2 for a saga that is not
    known or a flow that breaks a rule.
    """

    def work() -> int:
        graphs = [graphs_of(settings)[kind] for kind in chosen(settings, saga)]
        if shape == "json":
            found = [as_json(graph) for graph in graphs]
            show(found[0] if saga is not None else {"flows": found})
        else:
            print("\n".join(DRAWN[shape](graph) for graph in graphs), flush=True, end="")
        return 0

    return guarded(settings, work)
