"""The demo: from nothing to a detection-transfer table, through the tools of the full-scale runs."""
from .stages import plan
from .summary import summarise


def run() -> None:
    """Do every stage that is not done yet, then write and print the table."""
    stages = plan()
    for number, stage in enumerate(stages, 1):
        stage.run(f'{number}/{len(stages)}')
    summarise({stage.name: stage.seconds for stage in stages})
