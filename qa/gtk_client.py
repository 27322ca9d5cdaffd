# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
The process of Tryton's desktop client that qa/gtk.py drives

It reads a command a line and answers each with its result and with the
problems that came up.  It runs in the environment of the client, which has no
trytond.
"""
import json
import sys
import threading
import time
import traceback

from gi.repository import Gdk, GLib, Gtk
from tryton import client  # First, for it chooses the version of GTK
from tryton.action import Action
from tryton.common import RPCExecute
from tryton.gui import Main
from tryton.gui.window import Window
from tryton.gui.window.view_form.screen import Screen

QUIET = .05


def settle():
    "Wait until the client has had nothing to ask or to draw for a while"
    end = time.monotonic() + QUIET
    while time.monotonic() < end:
        # A daemon listens to the bus, the other threads ask the server
        busy = any(
            not t.daemon for t in threading.enumerate()
            if t is not threading.main_thread())
        while Gtk.events_pending():
            Gtk.main_iteration()
            busy = True
        if busy:
            end = time.monotonic() + QUIET
        time.sleep(QUIET / 10)


def descend(widget):
    yield widget
    if isinstance(widget, Gtk.Container):
        for child in widget.get_children():
            yield from descend(child)


class Commands:

    def __init__(self, password, file):
        self.password = password
        self.problems = []
        # The views that were on the screen and the lists of which a row was
        self.shown = set()
        self.opened = set()

        add_view = Screen.add_view

        def add_view_and_watch(screen, definition):
            view = add_view(screen, definition)
            view.widget.connect('map', self._on_map, view)
            return view

        Screen.add_view = add_view_and_watch
        Gtk.Dialog.run = lambda dialog: self._on_dialog(dialog)
        GLib.io_add_watch(
            file, GLib.PRIORITY_LOW,
            GLib.IOCondition.IN | GLib.IOCondition.HUP, self._on_command)

    def _on_map(self, widget, view):
        # Without its library the calendar is an empty box
        if view.widgets:
            self.shown.add(view.view_id)

    def _on_dialog(self, dialog):
        "Answer a dialog that keeps the client waiting"
        for widget in descend(dialog):
            if isinstance(widget, Gtk.Entry) and not widget.get_visibility():
                widget.set_text(self.password)
                return Gtk.ResponseType.OK
        # It is a question, a warning or an error with its traceback
        self.problems.append('\n'.join(
                w.get_text() if isinstance(w, Gtk.Label)
                else w.get_buffer().props.text
                for w in descend(dialog)
                if isinstance(w, (Gtk.Label, Gtk.TextView))))
        return Gtk.ResponseType.CANCEL

    def _on_command(self, file, condition):
        line = file.readline()
        if not line:
            Main().quit()
            return False
        name, *args = json.loads(line)
        result = None
        try:
            result = getattr(self, name)(*args)
            settle()
        except Exception:
            self.problems.append(traceback.format_exc())
        print(json.dumps({
                    'result': result,
                    'problems': self.problems,
                    }), flush=True)
        self.problems = []
        return True

    @property
    def dialogs(self):
        "Return what is open over the current tab"
        return (Main().get_page() or Main()).dialogs

    @property
    def screen(self):
        return (self.dialogs or [Main().get_page()])[-1].screen

    def fill_screen(self):
        "Do what there is no window manager for"
        main, screen = Main(), Gdk.get_default_root_window()
        main.window.move(0, 0)
        main.window.resize(
            screen.get_width(),
            screen.get_height() - main.header.get_allocated_height())

    def call(self, model, method, *args):
        return RPCExecute('model', model, method, *args)

    def open_action(self, action, data):
        Action.execute(action, data, keyword=True)

    def open_window(self, model, attributes):
        Window.create(model, **attributes)

    def look(self, path):
        """
        Show the views of what is open on top, their pages and a row of their
        lists, and return the types of the views with the number of records
        """
        screen = self.screen
        if screen.screen_container.notebook:
            # The last tab has them all
            screen.screen_container.notebook.set_current_page(-1)
            settle()
        views = []
        for _ in range(screen.number_of_views):
            view = screen.current_view
            views.append([view.view_type, len(screen.group)])
            self._select_row(screen)
            for i, _ in enumerate(self._turn_pages(view)):
                self._save_screenshot(f'{path}-{view.view_type}-{i}.png')
                if view.view_type == 'form':
                    self._open_rows(view)
            if screen.number_of_views > 1:
                Main().get_page().sig_switch()
                assert screen.current_view != view, view.view_type
        return views

    def _select_row(self, screen):
        if screen.current_view.view_type == 'tree' and len(screen.group):
            screen.current_view.treeview.set_cursor(
                Gtk.TreePath.new_first(), None, False)
        settle()

    def _turn_pages(self, view):
        notebooks = getattr(view, 'notebooks', None)
        if not notebooks:
            settle()
            yield
        for notebook in notebooks or []:
            for i in range(notebook.get_n_pages()):
                if notebook.get_nth_page(i).get_visible():
                    notebook.set_current_page(i)
                    settle()
                    yield

    def _open_rows(self, view):
        for name, widgets in view.widgets.items():
            for widget in widgets:
                if (not hasattr(widget, '_sig_edit')
                        or not widget.widget.get_mapped()
                        or not len(widget.screen.group)
                        or (view.view_id, name) in self.opened):
                    continue
                self.opened.add((view.view_id, name))
                self._select_row(widget.screen)
                before = list(self.dialogs)
                widget._sig_edit()
                dialog = self.dialogs[-1]
                assert dialog not in before, name
                for _ in self._turn_pages(dialog.screen.current_view):
                    pass
                dialog.win.response(Gtk.ResponseType.CANCEL)
                settle()

    def close(self):
        "Close the current tab, or end the wizard over it"
        if self.dialogs:
            wizard = self.dialogs[-1]
            wizard.states[wizard.end_state].clicked()
        else:
            Main().sig_win_close()

    def get_shown(self):
        "Return the identifiers of the views that were on the screen"
        return sorted(self.shown)

    def _save_screenshot(self, path):
        window = Gdk.get_default_root_window()
        Gdk.pixbuf_get_from_window(
            window, 0, 0, window.get_width(), window.get_height()
            ).savev(path, 'png', [], [])


def main(user, url, config):
    # The main loop would not be told of what lies in a buffer
    file = open(0, 'rb', buffering=0)
    # The first line, for the list of the processes shows the arguments
    Commands(file.readline().decode().rstrip('\n'), file)
    sys.argv[1:] = ['-c', config, '-u', user, url]
    client.main()


if __name__ == '__main__':
    main(*sys.argv[1:])
