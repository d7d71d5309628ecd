"""Key names of the HSAKD authors' released files (winycg/HSAKD), and ours."""
import re

# Theirs: {backbone, auxiliary_classifier: {block_extractor<l>: stages, fc<l>}}, l from 1.
_BRANCH_STAGES = re.compile(r'auxiliary_classifier\.block_extractor(\d+)\.')
_BRANCH_FC = re.compile(r'auxiliary_classifier\.fc(\d+)\.')


def from_upstream(key: str) -> str:
    """Our name of a tensor in an upstream ``*_aux`` ResNet.

    >>> from_upstream('auxiliary_classifier.block_extractor1.0.1.conv2.weight')
    'branches.0.stages.0.1.conv2.weight'
    """
    key = _BRANCH_STAGES.sub(lambda match: f'branches.{int(match[1]) - 1}.stages.', key)
    return _BRANCH_FC.sub(lambda match: f'branches.{int(match[1]) - 1}.fc.', key)
