import { describe, expect, test } from 'vitest';
import { escapeXml, renderJunit } from '../../../agent/report-junit.ts';
import { someDocument, someFinding } from '../../support/findings.ts';

describe('the report for a pipeline', () => {
  test.each([
    { given: `<a b='c' d="e">&`, want: '&lt;a b=&apos;c&apos; d=&quot;e&quot;&gt;&amp;' },
    { given: 'bell\u0007 null\u0000 escape\u001B[31m', want: 'bell null escape[31m' },
    { given: 'a\tb\nc\rd', want: 'a&#9;b&#10;c&#13;d' },
    { given: 'half \uD800 pair, whole 😀, \uFFFE', want: 'half  pair, whole 😀, ' },
    { given: ']]>', want: ']]&gt;' },
  ])('escapes $given', ({ given, want }) => {
    expect(escapeXml(given)).toBe(want);
  });

  test('only a failed required finding is a failure, and nothing unknown is a pass', () => {
    const xml = renderJunit(
      someDocument({
        findings: [
          someFinding({ requirement: 'ok' }),
          someFinding({ requirement: 'bad', outcome: 'fail', reason: 'dropped', peer: 'w2' }),
          someFinding({
            requirement: 'meh',
            outcome: 'fail',
            reason: 'dropped',
            level: 'recommended',
          }),
          someFinding({ requirement: 'who', outcome: 'unknown', reason: 'no-witness' }),
          someFinding({ requirement: 'bug', outcome: 'unknown', reason: 'check-crashed' }),
          someFinding({ requirement: 'not', outcome: 'skip', reason: 'no-peers' }),
          someFinding({ requirement: 'alt', outcome: 'fail', reason: 'no-reply', anyOf: 'ok' }),
        ],
      }),
    );
    expect(xml).toContain(
      '<testsuites name="cni-preflight" tests="7" failures="1" errors="1" skipped="2"',
    );
    const cases = new Map(
      [...xml.matchAll(/<testcase [^>]*name="(\w+)[^>]*>(<\w+)?/g)].map(([, name, body]) => [
        name,
        body,
      ]),
    );
    expect(Object.fromEntries(cases)).toEqual({
      ok: undefined,
      bad: '<failure',
      meh: '<system',
      who: '<skipped',
      bug: '<error',
      not: '<skipped',
      alt: '<system',
    });
    expect(xml).toContain('name="bad to w2 (ipv4)"');
    expect(xml.match(/<testcase/g)).toHaveLength(7);
  });

  test('a message of a peer stays inside its attribute', () => {
    const xml = renderJunit(
      someDocument({
        findings: [
          someFinding({ outcome: 'fail', reason: 'dropped', message: '"/><evil a="\u001B' }),
        ],
      }),
    );
    expect(xml).not.toContain('<evil');
    expect(xml).toContain('message="&quot;/&gt;&lt;evil a=&quot;"');
  });
});
