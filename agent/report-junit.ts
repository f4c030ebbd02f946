/** @module The report for a pipeline: JUnit XML, one test case a finding. Pure. */
import { groupAlternatives } from './alternatives.ts';
import { nextStep } from './messages.ts';
import type { Finding, ProviderVerdict, StatusDocument } from './model.ts';

/** Renders the document as one test suite. A failed required finding is a failure, a crashed check an error. */
export function renderJunit(document: StatusDocument): string {
  const cases = document.providers?.map(providerCase) ?? findingCases(document.findings);
  const count = (element: string): number =>
    cases.filter((one) => one.body.startsWith(`<${element}`)).length;
  const name = `cni-preflight ${document.provider?.name ?? 'all'} on ${document.node.name}`;
  const time = document.durationSeconds.toFixed(3);
  const totals = `tests="${cases.length}" failures="${count('failure')}" errors="${count('error')}" skipped="${count('skipped')}" time="${time}"`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="cni-preflight" ${totals}>`,
    `  <testsuite name="${escapeXml(name)}" hostname="${escapeXml(document.node.name)}" timestamp="${escapeXml(document.startedAt)}" ${totals}>`,
    ...cases.map(
      (one) =>
        `    <testcase classname="${escapeXml(one.className)}" name="${escapeXml(one.name)}" time="${one.seconds.toFixed(3)}">${one.body}</testcase>`,
    ),
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

/** Makes text safe in an attribute and in content; characters that XML 1.0 forbids (section 2.2) go. */
export function escapeXml(text: string): string {
  return text
    .replaceAll(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&apos;')
    .replaceAll('\t', '&#9;')
    .replaceAll('\n', '&#10;')
    .replaceAll('\r', '&#13;');
}

interface TestCase {
  readonly className: string;
  readonly name: string;
  readonly seconds: number;
  /** Empty for a pass. */
  readonly body: string;
}

function findingCases(findings: readonly Finding[]): TestCase[] {
  return groupAlternatives(findings).flatMap(({ outcome, members }) =>
    members.map((finding) => ({
      className: `${finding.kind}.${finding.level}`,
      name: nameOf(finding),
      seconds: finding.durationSeconds,
      body: bodyOf(finding, outcome === 'pass'),
    })),
  );
}

function nameOf({ requirement, target }: Finding): string {
  if (target.scope === 'node') return requirement;
  const direction = target.direction === 'outbound' ? 'to' : 'from';
  return `${requirement} ${direction} ${target.name} (${target.family})`;
}

function bodyOf(finding: Finding, alternativePasses: boolean): string {
  const { outcome, level, reason = '', message } = finding;
  const output = (): string => `<system-out>${escapeXml(detailsOf(finding))}</system-out>`;
  switch (outcome) {
    case 'pass':
      return '';
    case 'skip':
      return `<skipped message="${escapeXml(`${reason}: ${message}`)}"/>`;
    case 'unknown':
      if (reason === 'check-crashed') {
        return `<error type="${reason}" message="${escapeXml(message)}">${escapeXml(detailsOf(finding))}</error>`;
      }
      // JUnit has no word for it. A failure would be a lie, and a pass, too.
      return `<skipped message="${escapeXml(`unknown, ${reason}: ${message}`)}"/>${output()}`;
    case 'fail':
      // A warning leaves the pipeline green; --strict speaks through the exit code.
      if (level !== 'required' || alternativePasses) return output();
      return `<failure type="${reason}" message="${escapeXml(message)}">${escapeXml(detailsOf(finding))}</failure>`;
  }
}

function detailsOf(finding: Finding): string {
  const { outcome, level, reason, message, evidence, documentation } = finding;
  const facts = Object.entries(evidence).map(([key, value]) => `${key}=${value}`);
  return [
    `${outcome} (${level}): ${message}`,
    reason === undefined ? undefined : `reason: ${reason}`,
    facts.length === 0 ? undefined : `evidence: ${facts.join(' ')}`,
    nextStep(finding) === undefined ? undefined : `next: ${nextStep(finding)}`,
    documentation === undefined ? undefined : `documentation: ${documentation}`,
  ]
    .filter((line) => line !== undefined)
    .join('\n');
}

function providerCase({ name, readiness, summary }: ProviderVerdict): TestCase {
  const message = `${summary.fail} failed, ${summary.warn} warnings, ${summary.unknown} unknown`;
  const body = {
    'ready': '',
    'not-ready': `<failure type="not-ready" message="${escapeXml(message)}"/>`,
    'unknown': `<skipped message="${escapeXml(`unknown: ${message}`)}"/>`,
  }[readiness];
  return { className: 'provider', name, seconds: 0, body };
}
