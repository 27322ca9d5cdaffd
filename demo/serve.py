#!/usr/bin/env python3
# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"Serve the database of the demo, with the web client if there is one"
import errno
import os
import socket
import sys
from pathlib import Path

import demo
from proteus import Model
from proteus.config import set_trytond

HOST = '127.0.0.1'
MAX_PORT = 65535
WEB = """
[web]
listen = {address}
"""
CLIENT = """\
root = {client}
"""


def skip_configuration():
    "Let the first log-in not start with the configuration of the modules"
    Item = Model.get('ir.module.config_wizard.item')
    for item in Item.find([('state', '=', 'open')]):
        item.state = 'done'
        item.save()
    admin, = Model.get('res.user').find([('login', '=', 'admin')])
    while admin.actions:
        admin.actions.pop()
    admin.save()


def is_free(port):
    with socket.socket() as listener:
        # Like the server, which need not wait for what the last one closed
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def choose_port(port):
    "Return the port, or the next that is free, and say so"
    free = next(filter(is_free, range(port, MAX_PORT + 1)), None)
    if free is None:
        sys.exit(f"No port is free from {port} on, "
            "choose another: PORT=8010 make serve")
    if free != port:
        print(f"Port {port} is in use, so it is served on {free}.\n"
            "To choose another: PORT=8010 make serve", flush=True)
    return free


def main(folder, port='8000', client=None):
    folder = Path(folder).resolve()
    config = folder / 'trytond.conf'
    if not (folder / 'demo.sqlite').exists():
        demo.main(folder)
    else:
        set_trytond(config_file=str(config))
    skip_configuration()
    address = f'{HOST}:{choose_port(int(port))}'
    settings = config.read_text() + WEB.format(address=address)
    url = f'tryton://{address}/demo'
    if client:
        settings += CLIENT.format(client=Path(client).resolve())
        url = f'http://{address}/#demo'
    served = folder / 'serve.conf'
    served.write_text(settings)
    print(f"\nOpen {url}\n"
        f"User: admin\nPassword: {(folder / 'password').read_text()}\n"
        "Press Ctrl-C to end.", flush=True)
    trytond = Path(sys.executable).with_name('trytond')
    os.execv(trytond, [trytond, '-c', served, '-d', 'demo'])


if __name__ == '__main__':
    main(*sys.argv[1:])
