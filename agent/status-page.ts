/** @module The status page: one document as HTML that needs nothing else. Pure but for the hash of its style. */
import { createHash } from 'node:crypto';
import type { Finding, Outcome, StatusDocument } from './model.ts';

/** The page, and the Content-Security-Policy that allows its style and nothing else. */
export interface StatusPage {
  readonly html: string;
  readonly contentSecurityPolicy: string;
}

const refreshSeconds = 10;
/** A person does not read more; `/status` has them all. */
const shownFindings = 500;

const style = `
:root{color-scheme:light dark;--line:#8884;--fail:#c62828;--warn:#b26a00;--unknown:#5e6b7a;--pass:#2e7d32}
body{font:15px/1.45 system-ui,sans-serif;margin:1.5rem auto;max-width:76rem;padding:0 1rem}
h1{font-size:1.4rem;margin:0 0 .3rem}
h1 span{border-radius:.3rem;color:#fff;padding:.05rem .5rem}
p{margin:.3rem 0}
ul{margin:.3rem 0;padding-left:1.2rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;margin-top:1rem;width:100%}
th,td{border-bottom:1px solid var(--line);padding:.35rem .6rem;text-align:left;vertical-align:top}
td small{color:var(--unknown);display:block;overflow-wrap:anywhere}
code{font-size:.92em}
.ready,.not-ready,.unknown-state{background:var(--unknown)}
.ready{background:var(--pass)}
.not-ready{background:var(--fail)}
b{font-weight:600}
b.fail{color:var(--fail)}
b.warning,b.info{color:var(--warn)}
b.unknown,b.skip{color:var(--unknown)}
b.pass{color:var(--pass)}
`;

const contentSecurityPolicy = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Draws the page. */
export function statusPage(document: StatusDocument): StatusPage {
  const { node, provider, readiness, reasons = [], summary, peers, findings } = document;
  const sorted = [...findings].sort(byWeight);
  const shown = sorted.slice(0, shownFindings);
  const options = Object.entries(provider?.options ?? {}).map(
    ([name, value]) => `${name}=${value}`,
  );
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="${refreshSeconds}">
<title>${escape(node.name)}: ${escape(readiness)}</title>
<style>${style}</style>
</head>
<body>
<h1>${escape(node.name)} <span class="${readiness === 'unknown' ? 'unknown-state' : readiness}">${escape(readiness)}</span></h1>
<p>${
    provider === null
      ? 'no provider'
      : `${escape(provider.name)} (${escape(provider.source)}) <small>${escape(options.join(' '))}</small>`
  }</p>
${list(reasons)}
<p>${summary.fail} failed, ${summary.warn} warnings, ${summary.unknown} unknown, ${summary.pass} passed, ${summary.skip} skipped; ${peers.length} peers${peerNote(document)}</p>
<p><small>${escape(node.addresses.join(', '))}; ${escape(node.os)}, kernel ${escape(node.kernel)}, ${escape(node.architecture)}; cni-preflight ${escape(document.agent.version)}; ${escape(readiness)} since ${escape(document.since)}; latest round ${escape(document.startedAt)}</small></p>
<div class="scroll"><table>
<thead><tr><th>outcome</th><th>requirement</th><th>target</th><th>what was found</th><th>since</th></tr></thead>
<tbody>
${shown.map(row).join('\n')}
</tbody>
</table></div>
${sorted.length > shown.length ? `<p>${sorted.length - shown.length} more findings: see <a href="/status">/status</a></p>` : ''}
<p><a href="/status">JSON</a> <a href="/status?format=text">text</a> <a href="/mesh">mesh</a> <a href="/metrics">metrics</a> <a href="/openapi.json">API</a></p>
</body>
</html>
`;
  return { html, contentSecurityPolicy };
}

function row(finding: Finding): string {
  const { requirement, target, message, evidence, reason, since } = finding;
  const word = wordOf(finding);
  const facts = Object.entries(evidence).map(([name, value]) => `${name}=${value}`);
  const where =
    target.scope === 'node'
      ? 'this node'
      : `${escape(target.name)}<small>${escape(target.address)} ${escape(target.direction)}</small>`;
  return `<tr><td><b class="${word}">${word}</b></td><td><code>${escape(requirement)}</code>${
    reason === undefined ? '' : `<small>${escape(reason)}</small>`
  }</td><td>${where}</td><td>${escape(message)}<small>${escape(facts.join(' '))}</small></td><td><small>${escape(since)}</small></td></tr>`;
}

function list(lines: readonly string[]): string {
  if (lines.length === 0) return '';
  return `<ul>${lines.map((line) => `<li>${escape(line)}</li>`).join('')}</ul>`;
}

function peerNote({ peers }: StatusDocument): string {
  const counts = (['absent', 'unreachable', 'unknown'] as const)
    .map((state) => ({ state, count: peers.filter(({ agent }) => agent === state).length }))
    .filter(({ count }) => count > 0);
  if (counts.length === 0) return '';
  return `, their agents: ${counts.map(({ state, count }) => `${count} ${state}`).join(', ')}`;
}

type Word = Exclude<Outcome, 'fail'> | 'fail' | 'warning' | 'info';

const words: readonly Word[] = ['fail', 'warning', 'unknown', 'info', 'pass', 'skip'];

function wordOf({ outcome, level }: Finding): Word {
  if (outcome !== 'fail' || level === 'required') return outcome;
  return level === 'recommended' ? 'warning' : 'info';
}

function byWeight(one: Finding, other: Finding): number {
  const weight = words.indexOf(wordOf(one)) - words.indexOf(wordOf(other));
  if (weight !== 0) return weight;
  return one.requirement < other.requirement ? -1 : Number(one.requirement > other.requirement);
}

/** Peers and ConfigMaps write these texts, so none of them is trusted. */
function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
