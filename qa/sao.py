# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
Tryton's web client, driven in a headless Chromium

    with Sao(url, 'admin', password, shots=folder) as sao:
        sao.open_menu("Financial", "Invoices", "Progress Invoices")
        sao.open_row("Customer")
        sao.click('post')
        assert sao.read('state') == "Posted"
    assert not sao.problems

It acts on the topmost dialog if there is one, or else on the current tab.
Fields and buttons are found by the names that the client writes in the page.
"""
import re
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import TimeoutError, sync_playwright

# Without a display, as root and with the little shared memory of containers
FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage']
# No request but the one that waits for notifications, nothing that fades
IDLE = """() => {
    if ((typeof jQuery === 'undefined') || (typeof Sao === 'undefined'))
        return false;
    let waiting = Sao.Bus && Sao.Bus.listening && Sao.Bus.request &&
        (Sao.Bus.request.readyState !== 4) ? 1 : 0;
    let processing = document.querySelector('#processing');
    return (jQuery.active <= waiting) &&
        !jQuery(':animated').length &&
        ![...document.querySelectorAll('.modal')].some(m => {
            let style = getComputedStyle(m);
            return (style.display !== 'none') &&
                (!m.classList.contains('in') || (style.opacity !== '1'));
        }) &&
        !(processing && processing.offsetParent);
}"""
MENU = """() => [...document.querySelectorAll('#menu .treeview tbody tr')].map(
    row => [
        row.querySelector('.column-char').textContent.trim(),
        parseInt(
            row.querySelector('.expander img').style.marginLeft || '0'),
        ])"""
COUNT = """
window.clicks = 0;
addEventListener('click', event => { window.clicks += event.isTrusted }, true)
"""
# What the client asks for although a server need not have it
OPTIONAL = re.compile(r'/(custom\.(js|css)|locale/[A-Za-z_]+\.json)$')


def is_shown(value, text):
    "Return if the text of the field shows the value that was typed"
    try:
        return float(text.replace(',', '')) == float(value)
    except ValueError:
        return value in text


class Sao:

    def __init__(
            self, url, user, password, shots, browser='/usr/bin/chromium',
            timeout=60):
        self.url, self.user, self.password = url, user, password
        self.shots = Path(shots)
        self.browser = browser
        self.timeout = timeout
        # The errors of its scripts and of the requests
        self.problems = []

    def __enter__(self):
        self.profile = TemporaryDirectory()
        self.playwright = sync_playwright().start()
        self.context = self.playwright.chromium.launch_persistent_context(
            self.profile.name, executable_path=self.browser, args=FLAGS,
            accept_downloads=True, locale='en-US', timezone_id='UTC',
            viewport={'width': 1400, 'height': 900})
        self.context.add_init_script(COUNT)
        self.page = self.context.pages[0]
        self.page.set_default_timeout(self.timeout * 1000)
        self.page.on('pageerror', lambda e: self.problems.append(str(e)))
        self.page.on('response', self._on_response)
        self._login()
        return self

    def __exit__(self, type, value, traceback):
        # What it showed when the story failed
        self.page.screenshot(path=self.shots / 'last.png')
        self.context.close()
        self.playwright.stop()
        self.profile.cleanup()

    def _on_response(self, response):
        # It is asked for the password with 401
        if (response.status >= 400 and response.status != 401
                and not OPTIONAL.search(response.url)):
            self.problems.append(f'{response.status} {response.url}')

    def _login(self):
        page = self.page
        page.goto(self.url)
        page.wait_for_selector('.login-dialog')
        self.idle()
        page.fill('.login-dialog input[name=login]', self.user)
        page.click('.login-dialog button[type=submit]')
        page.fill('.ask-dialog input[type=password]', self.password)
        page.click('.ask-dialog button[title=OK]')
        page.wait_for_selector('#menu .treeview tbody tr')
        self.idle()

    def idle(self):
        "Wait until the client has been quiet for a while"
        end, since = time.monotonic() + self.timeout, None
        while True:
            now = time.monotonic()
            assert now < end, "The client is still busy"
            if not self.page.evaluate(IDLE):
                since = None
            elif since is None:
                since = now
            elif now - since > .4:
                return
            self.page.wait_for_timeout(50)

    @property
    def scope(self):
        dialogs = self.page.locator('.modal.in').filter(visible=True)
        if dialogs.count():
            return dialogs.last
        return self.page.locator('#tabcontent > .tab-pane.active')

    @property
    def clicks(self):
        "How many times the mouse was pressed since the log-in"
        return self.page.evaluate('window.clicks')

    def open_menu(self, *names):
        parent = -1
        for depth, name in enumerate(names):
            rows = self.page.evaluate(MENU)
            index = next(
                i for i, row in enumerate(rows)
                if i > parent and row[0] == name)
            row = self.page.locator('#menu .treeview tbody tr').nth(index)
            if depth == len(names) - 1:
                row.locator('.column-char').dblclick()
            elif index + 1 == len(rows) or (
                    rows[index + 1][1] <= rows[index][1]):
                row.locator('.expander img').click()
            self.idle()
            parent = index

    def select_tab(self, label):
        self.scope.locator('.nav-tabs a, .nav-pills a').filter(
            has_text=re.compile(rf'^\s*{re.escape(label)}\b')).first.click()
        self.idle()

    def _rows(self):
        return self.scope.locator('.treeview tbody > tr').filter(visible=True)

    def rows(self):
        return [' '.join(r.split()) for r in self._rows().all_inner_texts()]

    def open_row(self, text):
        self._rows().filter(has_text=text).first.locator('td').filter(
            visible=True).last.dblclick()
        self.idle()

    def columns(self):
        return self.scope.locator('.treeview thead th').filter(
            visible=True).all_inner_texts()

    def click_cell(self, text, column):
        "Click in the column on the row with the text"
        index = self.columns().index(column)
        self._rows().filter(has_text=text).first.locator('td').filter(
            visible=True).nth(index).click()
        self.idle()

    def close_tab(self):
        self.page.locator('#tablist > li.active .close').click()
        self.idle()

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)
        self.idle()

    def type(self, text):
        self.page.keyboard.press('Control+A')
        self.page.keyboard.type(text, delay=5)

    def toolbar(self, name):
        self.page.locator(
            f'#tabcontent > .tab-pane.active .btn-toolbar button#{name}'
            ).first.click()
        self.idle()

    def choose(self, kind, label):
        "Choose in the menu of the actions, relates or prints"
        self.toolbar(kind)
        self.page.locator(
            '#tabcontent > .tab-pane.active .btn-toolbar .open a').filter(
            has_text=label).first.click()
        self.idle()

    def click(self, name):
        "Click on the button of the name or the label"
        label = re.compile(rf'^\s*{re.escape(name)}\s*$', re.I)
        end = time.monotonic() + self.timeout
        while time.monotonic() < end:
            for buttons in [
                    self.scope.locator(f'button[name="{name}"]'),
                    self.scope.locator('.modal-footer button').filter(
                        has_text=label),
                    self.scope.locator('button').filter(has_text=label),
                    ]:
                buttons = buttons.filter(visible=True)
                if buttons.count():
                    buttons.first.click()
                    self.idle()
                    return
            # What the last step opens may still be to come
            self.page.wait_for_timeout(100)
        raise AssertionError(f"There is no button {name}")

    def add(self, name):
        "Click on the button that adds a record in the list of the field"
        self.page.evaluate("""name => {
            let view = Sao.Tab.tabs.get_current().screen.current_view;
            for (let widget of view.widgets[name])
                widget.el.attr('data-field', name);
            }""", name)
        self.page.locator(
            f'[data-field="{name}"] button[title="New"]').filter(
            visible=True).first.click()
        self.idle()

    def _field(self, name):
        field = self.scope.locator(
            f'input[name="{name}"], select[name="{name}"], '
            f'textarea[name="{name}"]')
        if not field.filter(visible=True).count():
            # It may be on another page of the form
            page = self.scope.locator(
                '.form-notebook .tab-pane:not(.active)',
                has=self.page.locator(f'[name="{name}"]')).first
            self.scope.locator(
                f'a[href="#{page.get_attribute("id")}"]').first.click()
            self.idle()
        return field.filter(visible=True).first

    def fill(self, name, value):
        "Type the value in the field and leave it"
        field = self._field(name)
        if field.evaluate("e => e.tagName") == 'SELECT':
            field.select_option(label=value)
        elif field.get_attribute('type') == 'checkbox':
            field.set_checked(value)
        else:
            is_relation = field.evaluate(
                "e => !!e.closest('[class*=many2one]')")
            for _ in range(5):
                field.click()
                self.type(value)
                try:
                    if is_relation:
                        self._complete(value)
                except TimeoutError:
                    continue
                self.page.keyboard.press('Tab')
                self.idle()
                # What came late may have cleared what was typed
                if is_shown(value, field.input_value()):
                    break
            else:
                raise AssertionError(f"The field {name} can not be {value}")
        self.idle()

    def _complete(self, text):
        self.page.locator(
            '.dropdown.open ul.dropdown-menu li, '
            '.open > ul.dropdown-menu li').filter(
            has_text=text).filter(visible=True).first.click(timeout=5000)

    def read(self, name):
        return self._field(name).evaluate("""e => e.tagName === 'SELECT' ?
            e.selectedOptions[0].text :
            e.type === 'checkbox' ? e.checked : e.value""")

    def download(self, kind, label):
        "Choose in the menu and return the path of the file it downloads"
        with self.page.expect_download() as info:
            self.choose(kind, label)
        path = self.shots / info.value.suggested_filename
        info.value.save_as(path)
        return path

    def screenshot(self, name):
        self.idle()
        self.page.screenshot(path=self.shots / f'{name}.png')
