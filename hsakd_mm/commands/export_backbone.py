"""Write the backbone of a training checkpoint: as a state dict, a folder of timm, on the hub, or as ONNX.

hsakd-mm export work_dirs/imagenet_r34_r18/epoch_100.pth                       # .pth and .safetensors
hsakd-mm export work_dirs/imagenet_r34_r18/epoch_100.pth --timm-folder r18_hsakd --onnx r18.onnx
hsakd-mm export dino.pth --key teacher --prefix module.backbone.
"""

import argparse
import os
import tempfile

from hsakd_mm.checkpoints.export import Export, export_all, export_backbone, extract_backbone, networks_in
from hsakd_mm.checkpoints.loading import load_checkpoint
from hsakd_mm.checkpoints.work_dir import find_checkpoint
from hsakd_mm.errors import UserError
from hsakd_mm.hub.onnx_file import write_onnx
from hsakd_mm.hub.pushing import push_folder, require_repository, require_token
from hsakd_mm.hub.timm_folder import FILES, write_timm_folder
from hsakd_mm.hub.timm_network import timm_arguments


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'checkpoint',
        help='checkpoint of hsakd-mm train, or its work directory, which stands for the best, else the last; or '
        "another project's with --key, --prefix",
    )
    parser.add_argument(
        '--out', metavar='FILE', help='output; .pth and .safetensors are written (default: CHECKPOINT_backbone)'
    )
    parser.add_argument('--with-head', action='store_true', help='keep the classifier, fc.*')
    parser.add_argument(
        '--prefix',
        help="prefix of the backbone's keys, such as net2.backbone. (default: all backbones of the checkpoint)",
    )
    parser.add_argument('--key', default='', help="key of the state dict in another project's file, such as teacher")
    parser.add_argument(
        '--timm-folder',
        metavar='DIR',
        help="write config.json, model.safetensors and README.md, which timm.create_model('local-dir:DIR') loads",
    )
    parser.add_argument(
        '--push-to-hub',
        metavar='OWNER/NAME',
        help='push that folder to the Hugging Face hub (HF_ENDPOINT) with the token in HF_TOKEN',
    )
    parser.add_argument('--public', action='store_true', help='make a new repository public (default: private)')
    parser.add_argument('--license', metavar='ID', help="licence of the weights, for the model card, as 'apache-2.0'")
    parser.add_argument('--onnx', metavar='FILE', help='write the graph from images to feature maps')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if os.path.isdir(args.checkpoint):
        args.checkpoint = find_checkpoint(args.checkpoint, 'train it first, or name a file.')
        print(f'from {args.checkpoint}')
    if args.timm_folder or args.push_to_hub or args.onnx:
        hand_over(args)
        if args.out is None:
            return
    for done in write_state_dicts(args):
        report(done, args.with_head)


def write_state_dicts(args: argparse.Namespace) -> list[Export]:
    """The files ``.pth`` and ``.safetensors`` of each network."""
    if args.key or (args.prefix and not networks_in(load_checkpoint(args.checkpoint)['state_dict'])):
        return [extract_backbone(args.checkpoint, args.key, args.prefix or '', args.out, args.with_head)]
    if args.prefix:
        return [export_backbone(args.checkpoint, args.out, args.with_head, args.prefix)]
    return export_all(args.checkpoint, args.out, args.with_head)


def hand_over(args: argparse.Namespace) -> None:
    """A folder of timm, the hub, ONNX.

    Raises:
        UserError: The checkpoint has several networks and none is chosen; or as in :mod:`hsakd_mm.hub`.
    """
    if args.push_to_hub:  # before the work
        require_repository(args.push_to_hub)
        require_token()
    if args.key:
        raise UserError(
            '--timm-folder, --push-to-hub and --onnx need the config of a training checkpoint, and --key reads a part '
            "of another project's file: leave one of them out."
        )
    several = networks_in(load_checkpoint(args.checkpoint)['state_dict'])
    if len(several) > 1 and not args.prefix:
        names = ' or '.join(f'--prefix {name.split(".")[0]}' for name in several)
        raise UserError(f'one network was expected in {args.checkpoint}, and it holds {len(several)}: choose {names}.')
    prefix = args.prefix or 'backbone.'
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.timm_folder or os.path.join(temporary, 'folder')
        if args.timm_folder or args.push_to_hub:
            made = write_timm_folder(args.checkpoint, folder, prefix, args.license, args.push_to_hub or '')
            same = 'the same network, by timm' if made.checked else 'not loaded again, this timm has no local-dir:'
            classes = f'{made.network.num_classes} classes' if made.network.num_classes else 'without a classifier'
            print(f'{made.network.architecture}, {classes}; loaded again: {same}')
            print(f'{made.sha256}  {args.timm_folder or args.push_to_hub}/model.safetensors')
        if args.timm_folder:
            print(f"in timm: timm.create_model('local-dir:{folder}', pretrained=True)")
        if args.push_to_hub:
            print(f'pushed: {push_folder(folder, args.push_to_hub, FILES, args.public)}')
            print(f"in timm: timm.create_model('hf-hub:{args.push_to_hub}', pretrained=True)")
    if args.onnx:
        done = write_onnx(args.checkpoint, args.onnx, prefix, args.with_head)
        print(f'images {done.inputs} -> {", ".join(done.outputs)}')
        print(
            'not compared with torch: onnxruntime is not installed'
            if done.difference is None
            else f'largest difference to torch, in onnxruntime: {done.difference:.1e}'
        )
        print(f'{done.sha256}  {done.path}')


def report(done: Export, with_head: bool) -> None:
    """What was written, for the terminal."""
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
    if done.metadata.get('backbone_type') == 'TimmBackbone' and not with_head:
        given = timm_arguments(done.metadata['model_kwargs'])
        words = ', '.join([repr(done.metadata['model_name']), 'num_classes=0', *(f'{k}={v}' for k, v in given.items())])
        print(f'in timm: timm.create_model({words}).load_state_dict(torch.load({done.pth!r}))')
    print(f'{done.pth_sha256}  {done.pth}')
    print(f'{done.safetensors_sha256}  {done.safetensors}')
