// What the console needs of the browser: colours, the editor's files, the clipboard, downloads. Loaded before anything is painted.
(function () {
  'use strict';
  const store = {
    get: key => { try { return localStorage.getItem(key); } catch { return null; } },
    set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* private windows keep nothing */ } },
  };
  const prefersDark = () => (store.get('sluice.theme') ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark';
  const paint = () => { document.documentElement.dataset.theme = prefersDark() ? 'dark' : 'light'; };
  paint();

  const script = (path, attributes) => new Promise((done, failed) => {
    const element = Object.assign(document.createElement('script'), { src: path, onload: done, onerror: failed });
    for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, value);
    document.head.append(element);
  });

  const content = '_content/BlazorMonaco/';
  const vs = content + 'lib/monaco-editor/min/vs';
  let editor = null;
  let words = [];

  async function loadEditor() {
    // a second try loads only what the first did not: the one file sets what the other has replaced
    if (!window.blazorMonaco) await script(content + 'jsInterop.js');
    if (typeof window.require !== 'function') await script(vs + '/loader.js');
    await new Promise((done, failed) => window.require(['vs/editor/editor.main'], done, fault => {
      window.require.reset(); // it waits for ever for what has failed once
      window.require.config({ paths: { vs } });
      failed(fault);
    }));
    monaco.editor.defineTheme('sluice-light', { base: 'vs', inherit: true, rules: [], colors: { 'editor.background': '#ffffff', 'editorLineNumber.foreground': '#50605d' } });
    monaco.editor.defineTheme('sluice-dark', { base: 'vs-dark', inherit: true, rules: [], colors: { 'editor.background': '#111b19', 'editorLineNumber.foreground': '#9fb0ac' } });
    monaco.editor.setTheme(prefersDark() ? 'sluice-dark' : 'sluice-light');
    // records may stand one a line, which is no JSON as a whole; the server checks what is typed
    monaco.languages.json.jsonDefaults.setDiagnosticsOptions({ validate: false });
    monaco.languages.registerCompletionItemProvider('sql', {
      provideCompletionItems(model, position) {
        const word = model.getWordUntilPosition(position);
        const range = { startLineNumber: position.lineNumber, endLineNumber: position.lineNumber, startColumn: word.startColumn, endColumn: word.endColumn };
        const kinds = monaco.languages.CompletionItemKind;
        return { suggestions: words.map(it => ({ label: it.label, insertText: it.label, detail: it.detail, kind: it.kind === 'table' ? kinds.Struct : it.kind === 'column' ? kinds.Field : kinds.Keyword, range })) };
      },
    });
  }

  window.sluice = {
    isDark: prefersDark,
    setDark(dark) {
      store.set('sluice.theme', dark ? 'dark' : 'light');
      paint();
      if (window.monaco) monaco.editor.setTheme(dark ? 'sluice-dark' : 'sluice-light');
    },
    isFolded: () => store.get('sluice.folded') === '1',
    setFolded: folded => store.set('sluice.folded', folded ? '1' : '0'),
    loadEditor: () => (editor ??= loadEditor().catch(fault => { editor = null; throw fault; })),
    // BlazorMonaco lets go of no editor by itself; one that is closed while its worker still loads logs an error
    closeEditor(id) {
      const editors = window.blazorMonaco?.editors ?? [];
      const at = editors.findIndex(it => it.id === id);
      if (at < 0) return;
      const [left] = editors.splice(at, 1);
      setTimeout(() => left.editor.dispose(), 10000);
    },
    setWords: list => { words = list; },
    read: key => store.get('sluice.' + key),
    write: (key, value) => store.set('sluice.' + key, value),
    fragment: () => location.hash.slice(1),
    timeZone: () => Intl.DateTimeFormat().resolvedOptions().timeZone,
    async copy(text) {
      try { await navigator.clipboard.writeText(text); return true; } catch { return false; }
    },
    async download(name, type, stream) {
      const url = URL.createObjectURL(new Blob([await stream.arrayBuffer()], { type }));
      Object.assign(document.createElement('a'), { href: url, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
    },
  };
})();

// An invite's token stands behind the # of its link.
document.addEventListener('DOMContentLoaded', () => {
  const field = document.querySelector('[data-from-fragment]');
  if (field && !field.value) field.value = location.hash.slice(1);
});
