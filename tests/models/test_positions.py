"""Position embeddings of another image size: rows stay rows."""

import pytest
import torch

from hsakd_mm.models.backbones.positions import resample_positions

OLD, NEW, IMAGE = (4, 4), (4, 6), (128, 192)
LAYOUTS = {  # as CaiT and Hiera, VOLO, PiT and Visformer have them
    'tokens': lambda grid: grid.flatten(0, 1)[None],
    'channels last': lambda grid: grid[None],
    'channels first': lambda grid: grid.permute(2, 0, 1)[None],
}


def ramps(rows: int, columns: int) -> torch.Tensor:
    """``[rows, columns, 5]`` whose first channel rises from top to bottom, and whose second from left to right."""
    down = torch.linspace(0, 1, rows)[:, None].expand(rows, columns)
    right = torch.linspace(0, 1, columns)[None].expand(rows, columns)
    return torch.stack([down, right, down + right, down - right, torch.ones(rows, columns)], dim=2)


@pytest.mark.parametrize('layout', LAYOUTS.values(), ids=LAYOUTS)
def test_rows_stay_rows(layout) -> None:
    own = {'pos_embed1': layout(torch.zeros(*NEW, 5)), 'norm.weight': torch.zeros(5)}
    weights = {'pos_embed1': layout(ramps(*OLD)), 'norm.weight': torch.ones(5), 'other': torch.ones(2)}
    found = resample_positions(own, weights, IMAGE)
    torch.testing.assert_close(found['pos_embed1'], layout(ramps(*NEW)), atol=0.15, rtol=0)
    assert all(found[key] is weights[key] for key in ('norm.weight', 'other'))


@pytest.mark.parametrize('shape', [(1, 15, 5), (1, 4, 4, 4), (1, 16, 7), (16, 5), (2, 16, 5)])
def test_what_is_no_grid_is_left_for_strict_loading(shape) -> None:
    own, weights = {'pos_embed': torch.zeros(1, 24, 5)}, {'pos_embed': torch.ones(shape)}
    assert resample_positions(own, weights, IMAGE)['pos_embed'] is weights['pos_embed']
