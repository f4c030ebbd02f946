import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { decodeMessage, preamble } from '../../../../checks/packet/message.ts';
import { maximumBodyBytes } from '../../../../checks/packet/probe.ts';
import { address, hex } from './support.ts';

const page = readFileSync(new URL('../../../../docs/wire-format.md', import.meta.url), 'utf8');

test('the answer that the page lays out is the one it says', () => {
  const [, block = ''] = /### An answer on the wire\s+```\n(.*?)```/s.exec(page) ?? [];
  const fields = block.replace(/^((?:[0-9a-f]{2} )*[0-9a-f]{2}).*$/gm, '$1');
  expect(decodeMessage(hex(fields))).toEqual({
    message: {
      type: 'answer',
      observation: 'seen-rewritten',
      session: 0xfffffffffffffffen,
      nonce: 0xfffffffen,
      address: address('2001:db8::1'),
      port: 9999,
      body: new Uint8Array(0),
    },
  });
});

test('the preambles that the page writes out are the ones that are sent', () => {
  const frame = '02434e495002 02434e495001 88b5';
  const headers = {
    vxlan: /`([0-9a-f ]+)` VXLAN header/.exec(page)?.[1],
    geneve: /`([0-9a-f ]+)` Geneve header/.exec(page)?.[1],
  };
  expect(preamble('vxlan')).toEqual(hex(`${headers.vxlan} ${frame}`));
  expect(preamble('geneve')).toEqual(hex(`${headers.geneve} ${frame}`));
});

test('every reason to drop a message is in the table of the page', () => {
  const reasons = ['too-short', 'not-ours', 'version', 'type', 'reserved', 'length'];
  reasons.push('unsigned', 'bad-mac', 'signed-without-key');
  for (const reason of reasons)
    expect(page).toMatch(new RegExp(`^\\| .*\`${reason}\`.* \\|$`, 'm'));
});

test('the largest bodies are the ones in the table', () => {
  const bytes = (length: number) => length.toLocaleString('en-US');
  const signed = maximumBodyBytes(() => new Uint8Array(32));
  expect(page).toContain(`| request over UDP | ${bytes(maximumBodyBytes())} | ${bytes(signed)} |`);
});
