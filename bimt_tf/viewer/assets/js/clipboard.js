// Text to the clipboard, to which a page may not always write.

/** Copy a text; where the clipboard is not to be had, `select()` selects it. Gives what to say of it. */
export async function copyText(text, select) {
  try {
    await navigator.clipboard.writeText(text);
    return "copied";
  } catch {
    select();
    return document.execCommand("copy") ? "copied" : "selected: copy it with the keyboard";
  }
}
