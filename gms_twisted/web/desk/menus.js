/** The list of shortcuts. */
import { showKeys } from "../lib/account.js";

const SHORTCUTS = [
  ["a", "shortcut.accept"], ["Alt+1 \u2026 9", "shortcut.switch"], ["\u2191 \u2193", "shortcut.move"],
  ["c", "shortcut.composer"], ["Enter", "shortcut.send"], ["Shift+Enter", "shortcut.break"], ["/", "shortcut.canned"],
  ["Esc", "shortcut.escape"], ["r", "shortcut.ready"], ["i", "shortcut.customer"], ["m", "shortcut.sound"], ["?", "shortcut.help"],
];

export function showShortcuts() {
  showKeys(SHORTCUTS);
}
