"""Write the backbone of a training checkpoint as a plain state dict (.pth and .safetensors).

python tools/export_backbone.py work_dirs/imagenet_r34_r18/epoch_100.pth
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hsakd_mm.checkpoints.export import export_all, export_backbone
from hsakd_mm.engine.launch import user_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkpoint', help='checkpoint of tools/train.py')
    parser.add_argument(
        '--out', metavar='FILE', help='output; .pth and .safetensors are written (default: CHECKPOINT_backbone)'
    )
    parser.add_argument('--with-head', action='store_true', help='keep the classifier, fc.*')
    parser.add_argument(
        '--prefix',
        help="prefix of the backbone's keys, such as net2.backbone. (default: all backbones of the checkpoint)",
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.prefix:
        exports = [export_backbone(args.checkpoint, args.out, args.with_head, args.prefix)]
    else:
        exports = export_all(args.checkpoint, args.out, args.with_head)
    for done in exports:
        norm = done.metadata['normalisation']
        network = done.metadata['model_name'] or done.metadata['backbone_type']
        network = ' '.join(filter(None, [done.metadata['network'], network]))
        print(f'{done.tensors} tensors of {done.metadata["method"]} ({network}, epoch {done.metadata["epoch"]})')
        print(f'input: RGB 0..255, mean {norm["mean"]}, std {norm["std"]}')
        print(f'{done.pth_sha256}  {done.pth}')
        print(f'{done.safetensors_sha256}  {done.safetensors}')


if __name__ == '__main__':
    with user_errors():
        main()
