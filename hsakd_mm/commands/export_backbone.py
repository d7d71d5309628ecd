"""Write the backbone of a training checkpoint as a plain state dict (.pth and .safetensors).

python tools/export_backbone.py work_dirs/imagenet_r34_r18/epoch_100.pth
python tools/export_backbone.py dino.pth --key teacher --prefix module.backbone.
"""

import argparse

from hsakd_mm.checkpoints.export import export_all, export_backbone, extract_backbone, networks_in
from hsakd_mm.checkpoints.loading import load_checkpoint

# Of a backbone's config, those that are no arguments of timm's, or say how it is trained.
OURS = ('num_classes', 'pretrained', 'zero_init_last', 'with_cp')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkpoint', help="checkpoint of tools/train.py, or another project's with --key, --prefix")
    parser.add_argument(
        '--out', metavar='FILE', help='output; .pth and .safetensors are written (default: CHECKPOINT_backbone)'
    )
    parser.add_argument('--with-head', action='store_true', help='keep the classifier, fc.*')
    parser.add_argument(
        '--prefix',
        help="prefix of the backbone's keys, such as net2.backbone. (default: all backbones of the checkpoint)",
    )
    parser.add_argument('--key', default='', help="key of the state dict in another project's file, such as teacher")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.key or (args.prefix and not networks_in(load_checkpoint(args.checkpoint)['state_dict'])):
        exports = [extract_backbone(args.checkpoint, args.key, args.prefix or '', args.out, args.with_head)]
    elif args.prefix:
        exports = [export_backbone(args.checkpoint, args.out, args.with_head, args.prefix)]
    else:
        exports = export_all(args.checkpoint, args.out, args.with_head)
    for done in exports:
        norm = done.metadata.get('normalisation')
        about = [done.metadata.get(name) for name in ('network', 'model_name', 'backbone_type')]
        network = ' '.join(filter(None, [about[0], about[1] or about[2]])) or done.metadata['source']
        epoch = f', epoch {done.metadata["epoch"]}' if 'epoch' in done.metadata else ''
        print(f'{done.tensors} tensors of {done.metadata["method"]} ({network}{epoch})')
        print(
            f'input: {norm["channel_order"]} 0..255, mean {norm["mean"]}, std {norm["std"]}'
            if norm
            else 'input: not known, since the file has no config'
        )
        if done.metadata.get('backbone_type') == 'TimmBackbone' and not args.with_head:
            given = {key: value for key, value in done.metadata['model_kwargs'].items() if key not in OURS}
            words = ', '.join(
                [repr(done.metadata['model_name']), 'num_classes=0', *(f'{k}={v}' for k, v in given.items())]
            )
            print(f'in timm: timm.create_model({words}).load_state_dict(torch.load({done.pth!r}))')
        print(f'{done.pth_sha256}  {done.pth}')
        print(f'{done.safetensors_sha256}  {done.safetensors}')
