"""A stand-in for huggingface.co on 127.0.0.1: repositories in memory, and what huggingface_hub asks to push and load.

It is no Hugging Face server, and says so in a header of each answer, ``X-Stand-In``. It knows one token. What is asked
of it is written as huggingface_hub 2.4 and 0.x ask it; anything else is answered with 501 and kept in ``unknown``.
"""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

TOKEN = 'hf_stand_in_token'
SAYS = 'a stand-in of the tests of hsakd_mm, not huggingface.co'


class Repositories:
    """``repositories[OWNER/NAME] = dict(private, commit, files)``; large files by their SHA-256 until a commit."""

    def __init__(self) -> None:
        self.repositories: dict = {}
        self.large: dict = {}
        self.unknown: list = []


class Answers(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args) -> None:
        pass

    @property
    def state(self) -> Repositories:
        return self.server.state

    def send(self, status: int, body=b'', **headers) -> None:
        if not isinstance(body, bytes):
            body, headers['Content-Type'] = json.dumps(body).encode(), 'application/json'
        self.send_response(status)
        for name, value in {'X-Stand-In': SAYS, 'Content-Length': len(body), **headers}.items():
            self.send_header(name.replace('_', '-'), str(value))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        path = self.path.partition('?')[0]
        for method, pattern, answer in ROUTES:
            if self.command in method and (found := re.fullmatch(pattern, path)):
                writes = answer is not resolve
                if writes and not self.allowed() and answer is not store:
                    return self.send(401, dict(error='Invalid user token.'))
                return answer(self, body, *found.groups())
        self.state.unknown.append(f'{self.command} {self.path}')
        self.send(501, dict(error=f'{SAYS} does not know {self.command} {path}'))

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def allowed(self) -> bool:
        return self.headers.get('Authorization') == f'Bearer {TOKEN}'

    @property
    def address(self) -> str:
        return f'http://127.0.0.1:{self.server.server_port}'


def create(http: Answers, body: bytes) -> None:
    asked = json.loads(body)
    name = f'{asked["organization"]}/{asked["name"]}'
    if asked['organization'] != 'me':
        return http.send(403, dict(error=f'You have no rights to create a model under {asked["organization"]}'))
    status = 409 if name in http.state.repositories else 200
    private = asked.get('private', asked.get('visibility') == 'private')
    http.state.repositories.setdefault(name, dict(private=private, commit='', files={}))
    http.send(status, dict(url=f'{http.address}/{name}', error='it exists'))


def validate(http: Answers, body: bytes) -> None:
    front = yaml.safe_load(json.loads(body)['content'].split('---')[1])
    missing = {'library_name', 'tags', 'pipeline_tag'} - set(front)
    http.send(400 if missing else 200, dict(errors=[dict(message=each) for each in missing], warnings=[]))


def preupload(http: Answers, body: bytes, name: str, revision: str) -> None:
    files = [
        dict(path=each['path'], uploadMode='lfs' if each['path'].endswith('.safetensors') else 'regular', oid=None,
             shouldIgnore=False)
        for each in json.loads(body)['files']
    ]  # fmt: skip
    http.send(200, dict(files=files))


def batch(http: Answers, body: bytes, name: str) -> None:
    objects = [
        dict(each, actions=dict(upload=dict(href=f'{http.address}/large/{each["oid"]}')))
        for each in json.loads(body)['objects']
    ]
    http.send(200, dict(transfer='basic', objects=objects))


def store(http: Answers, body: bytes, oid: str) -> None:
    assert hashlib.sha256(body).hexdigest() == oid
    http.state.large[oid] = body
    http.send(200)


def commit(http: Answers, body: bytes, name: str, revision: str) -> None:
    repository = http.state.repositories[name]
    for line in map(json.loads, body.splitlines()):
        value = line['value']
        if line['key'] == 'file':
            repository['files'][value['path']] = base64.b64decode(value['content'])
        elif line['key'] == 'lfsFile':
            repository['files'][value['path']] = http.state.large[value['oid']]
    repository['commit'] = hashlib.sha1(body).hexdigest()
    url = f'{http.address}/{name}/commit/{repository["commit"]}'
    http.send(200, dict(success=True, commitOid=repository['commit'], commitUrl=url, pullRequestUrl=None))


def resolve(http: Answers, body: bytes, name: str, revision: str, file: str) -> None:
    repository = http.state.repositories.get(name)
    if repository is None or (repository['private'] and not http.allowed()):
        return http.send(401 if not http.allowed() else 404, X_Error_Code='RepoNotFound')
    if revision not in ('main', repository['commit']):
        return http.send(404, X_Error_Code='RevisionNotFound')
    if file not in repository['files']:
        return http.send(404, X_Error_Code='EntryNotFound', X_Repo_Commit=repository['commit'])
    content = repository['files'][file]
    etag = f'"{hashlib.sha256(content).hexdigest()}"'
    http.send(200, content, X_Repo_Commit=repository['commit'], ETag=etag)


REPO = r'([\w.-]+/[\w.-]+)'
ROUTES = (
    (('POST',), '/api/repos/create', create),
    (('POST',), '/api/validate-yaml', validate),
    (('POST',), rf'/api/models/{REPO}/preupload/([\w.-]+)', preupload),
    (('POST',), rf'/{REPO}\.git/info/lfs/objects/batch', batch),
    (('PUT',), r'/large/(\w+)', store),
    (('POST',), rf'/api/models/{REPO}/commit/([\w.-]+)', commit),
    (('GET', 'HEAD'), rf'/{REPO}/resolve/([\w.-]+)/(.+)', resolve),
)


@contextmanager
def hub_stand_in():
    """Yields ``(address, Repositories)`` while the server runs."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), Answers)
    server.state, server.daemon_threads = Repositories(), True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f'http://127.0.0.1:{server.server_port}', server.state
    finally:
        server.shutdown()
        server.server_close()
