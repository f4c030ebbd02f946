/** @module One line on the terminal while a check takes its time. */
import type { Progress } from './commands.ts';

/** Where the line is written. */
export interface ProgressTerminal {
  readonly isTty: boolean;
  readonly columns: number;
  write(text: string): void;
}

export interface ProgressLine {
  show(progress: Progress): void;
  /** Wipes the line, so that the report starts on a clean one. */
  end(): void;
}

/** Most checks are done before anybody wonders. */
const silentMs = 1000;
const redrawMs = 100;

/** Starts a line that stays silent for a second, and for ever where no person watches. */
export function startProgress(terminal: ProgressTerminal): ProgressLine {
  if (!terminal.isTty) return { show() {}, end() {} };
  let latest: Progress = { doing: 'checking' };
  let shown = false;
  let lastDrawnMs = 0;
  let visible = false;

  const draw = (): void => {
    lastDrawnMs = performance.now();
    shown = true;
    terminal.write(`\r\u001B[2K${lineOf(latest, terminal.columns)}`);
  };
  const timer = setTimeout(() => {
    visible = true;
    draw();
  }, silentMs);

  return {
    show(progress) {
      latest = progress;
      if (visible && performance.now() - lastDrawnMs >= redrawMs) draw();
    },
    end() {
      clearTimeout(timer);
      visible = false;
      if (shown) terminal.write('\r\u001B[2K');
    },
  };
}

function lineOf({ doing, done, of }: Progress, columns: number): string {
  const count = done === undefined || of === undefined ? '' : ` (${done} of ${of})`;
  const line = `${doing}${count} …`;
  // A line that wraps cannot be wiped.
  return line.length < columns ? line : `${line.slice(0, Math.max(0, columns - 2))}…`;
}
