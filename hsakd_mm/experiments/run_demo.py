"""The demo: from nothing to a detection-transfer table, through the tools of the full-scale runs."""

from .demo_plan import Plan
from .demo_summary import summarise


def run(smoke: bool = False) -> None:
    """Do every stage that is not done yet, then write and print the table."""
    plan = Plan(smoke)
    for number, stage in enumerate(plan.stages.values(), 1):
        stage.run(f'{number}/{len(plan.stages)}')
    summarise(plan)
