# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""Nothing is left untranslated"""
import re
from pathlib import Path

import polib
import pytest
import trytond.modules.project_progress_invoice as module
from proteus import Model, Wizard

from .tools import activate

LANGUAGES = ['de', 'es', 'fr', 'it']
NAME = 'project_progress_invoice'
PLACEHOLDER = re.compile(r'%\(\w+\)s|%%')


def export(code):
    "Return the file of the translations that Tryton exports"
    Wizard('ir.translation.set').execute('set_')
    language, = Model.get('ir.lang').find([('code', '=', code)])
    language.click('load_translations')
    update = Wizard('ir.translation.update')
    update.form.language = language
    update.execute('update')
    wizard = Wizard('ir.translation.export')
    wizard.form.language = language
    wizard.form.module, = Model.get('ir.module').find([('name', '=', NAME)])
    wizard.execute('export')
    return wizard.form.file


@pytest.fixture(scope='module')
def sources():
    "The context and the English text of all that Tryton translates"
    activate()
    file = polib.pofile(export('fr').decode())
    assert len(file) > 500
    return {(e.msgctxt, e.msgid) for e in file}


@pytest.mark.parametrize('language', LANGUAGES)
def test_everything_is_translated(sources, language):
    file = polib.pofile(
        Path(module.__file__).parent / 'locale' / f'{language}.po')
    translated = {
        (e.msgctxt, e.msgid) for e in file if e.msgstr and not e.fuzzy}
    assert translated == sources


@pytest.mark.parametrize('language', LANGUAGES)
def test_placeholders_are_kept(language):
    file = polib.pofile(
        Path(module.__file__).parent / 'locale' / f'{language}.po')
    for entry in file:
        assert (set(PLACEHOLDER.findall(entry.msgstr))
            == set(PLACEHOLDER.findall(entry.msgid))), entry.msgctxt
        assert (entry.msgstr.count('\n') == entry.msgid.count('\n'))
