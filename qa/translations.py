# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""Renew the files of the translations, with what is not yet translated"""
from pathlib import Path

import polib
import trytond.modules.project_progress_invoice as module
from trytond.modules.project_progress_invoice.tests.test_translations import (
    LANGUAGES, export)
from trytond.modules.project_progress_invoice.tests.tools import activate


def renew(folder):
    for language in LANGUAGES:
        # A text a line, so that a change shows only the text
        file = polib.pofile(export(language).decode(), wrapwidth=0)
        for entry in file:
            entry.flags = [f for f in entry.flags if f == 'fuzzy']
        file.save(folder / f'{language}.po')


if __name__ == '__main__':
    activate()
    renew(Path(module.__file__).parent / 'locale')
