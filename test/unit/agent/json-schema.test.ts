import Value from 'typebox/value';
import { describe, expect, test } from 'vitest';
import { documentSchemaFiles } from '../../../agent/json-schema.ts';
import { renderReport } from '../../../agent/report.ts';
import { someDocument, someFinding } from '../../support/findings.ts';

/** As a user's validator has it: out of the text of the file, not out of our code. */
const schema = JSON.parse(documentSchemaFiles().get('status.schema.json') ?? '');
const asJson = (document: Parameters<typeof renderReport>[0]) =>
  JSON.parse(renderReport(document, { format: 'json', color: false }));

describe('the schemas in docs/', () => {
  // `npx vitest run --project unit test/unit/agent/json-schema.test.ts --update` writes them anew.
  test.each([...documentSchemaFiles()])('%s is what the code says', async (name, text) => {
    const path = new URL(`../../../docs/${name}`, import.meta.url).pathname;
    await expect(text).toMatchFileSnapshot(path);
  });

  test.each([
    { name: 'a ready node', document: someDocument() },
    {
      name: 'a failing pair, with what only the program needs',
      document: someDocument({
        readiness: 'not-ready',
        findings: [
          someFinding({
            peer: 'worker-2',
            outcome: 'fail',
            reason: 'dropped',
            anyOf: 'group',
            eitherDirection: true,
            evidence: { port: 8472, sent: 3, witnessed: 0, nested: true },
            culprit: { where: 'receiver-ingress', node: 'worker-2' },
          }),
          someFinding(),
        ],
      }),
    },
    {
      name: 'all providers',
      document: someDocument({
        provider: null,
        findings: [],
        providers: [
          {
            name: 'canal',
            options: { tunnelPort: 8472 },
            readiness: 'ready',
            summary: { pass: 1, fail: 0, warn: 0, info: 0, unknown: 0, skip: 0 },
          },
        ],
      }),
    },
  ])('accept $name', ({ document }) => {
    expect([...Value.Errors(schema, asJson(document))]).toEqual([]);
  });

  test.each([
    { name: 'an unknown field', change: { extra: 1 } },
    { name: 'an unknown word for readiness', change: { readiness: 'healthy' } },
    { name: 'a reason that is none', change: { findings: [{ ...someFinding(), reason: 'bad' }] } },
  ])('refuse $name', ({ change }) => {
    expect(Value.Check(schema, { ...asJson(someDocument()), ...change })).toBe(false);
  });
});
