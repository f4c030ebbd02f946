import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { keyedMac } from '../../../agent/node.ts';
import { createPeerApi } from '../../../agent/peer-http.ts';
import type { PeerRequest } from '../../../checks/host/witness.ts';
import type { PeerService, Refusal } from '../../../checks/peer-service.ts';

const mac = keyedMac(Buffer.from('a secret of the cluster'));
const peer = '192.0.2.2';
const answer = new TextEncoder().encode('{"seen":2}');
const body = Buffer.from('{"id":"7"}');

/** As the carrier signs: the operation and a line end before the body. */
function signature(what: string, of: Uint8Array, key = 'a secret of the cluster'): string {
  const digest = createHmac('sha256', key)
    .update(Buffer.concat([Buffer.from(`${what}\n`), of]))
    .digest();
  return digest.subarray(0, 16).toString('hex');
}

function api(
  given: { readonly key?: boolean; readonly silent?: boolean; readonly refusal?: Refusal } = {},
) {
  const asked: PeerRequest[] = [];
  const service: PeerService = {
    answer: async (request) => {
      asked.push(request);
      return given.silent === true ? undefined : (given.refusal ?? answer);
    },
    remember: () => {},
    close: async () => {},
  };
  const made = createPeerApi({
    service,
    mac: given.key === true ? mac : undefined,
    isPeer: (address) => address === peer,
  });
  return { ...made, asked };
}

describe('without a key', () => {
  test('a peer is answered, and the operation is that of the path', async () => {
    const { handle, asked } = api();
    expect(
      await handle('sighting', Buffer.from('{"op":"watch","id":"7"}'), peer, undefined),
    ).toEqual({
      status: 200,
      body: answer,
    });
    expect(JSON.parse(Buffer.from(asked[0]?.body ?? []).toString())).toEqual({
      op: 'sighting',
      id: '7',
    });
    expect(asked[0]).toMatchObject({ address: peer, family: 'ipv4' });
  });

  test('a stranger is refused before anything is read', async () => {
    const { handle, asked } = api();
    expect(await handle('facts', Buffer.from('{}'), '203.0.113.9', undefined)).toMatchObject({
      status: 403,
      body: { code: 'NOT_A_PEER' },
    });
    expect(asked).toEqual([]);
  });
});

describe('with a key', () => {
  test('whoever has it is answered, and the answer is signed', async () => {
    const { handle } = api({ key: true });
    const given = signature('sighting', body);
    expect(await handle('sighting', body, '203.0.113.9', given)).toEqual({
      status: 200,
      body: answer,
      signature: signature('sighting response', answer),
    });
  });

  test.each([
    { name: 'no signature', given: undefined },
    { name: 'an empty one', given: '' },
    { name: 'one of another key', given: signature('sighting', body, 'a guess') },
    { name: 'one of another body', given: signature('sighting', Buffer.from('{"id":"8"}')) },
    { name: 'one of another operation', given: signature('watch', body) },
    { name: 'one of a response', given: signature('sighting response', body) },
    { name: 'a cut one', given: signature('sighting', body).slice(0, 16) },
    { name: 'a longer one', given: `${signature('sighting', body)}00` },
  ])('$name is refused, also of a peer', async ({ given }) => {
    const { handle, asked } = api({ key: true });
    expect(await handle('sighting', body, peer, given)).toMatchObject({
      status: 401,
      body: { code: 'UNSIGNED' },
    });
    expect(asked).toEqual([]);
  });
});

test.each(['', '{', 'null', '[]', '7', '"facts"'])('%j is a bad request', async (text) => {
  const { handle, asked } = api();
  expect(await handle('facts', Buffer.from(text), peer, undefined)).toMatchObject({
    status: 400,
    body: { code: 'BAD_REQUEST' },
  });
  expect(asked).toEqual([]);
});

test('what the service does not answer is a bad request', async () => {
  expect(
    await api({ silent: true }).handle('facts', Buffer.from('{}'), peer, undefined),
  ).toMatchObject({ status: 400 });
});

test.each([
  { refusal: 'busy', status: 429, code: 'TOO_MANY_WATCHES' },
  { refusal: 'unable', status: 503, code: 'NO_WATCH' },
] as const)(
  'a service that is $refusal is no mistake of who asks',
  async ({ refusal, status, code }) => {
    const request = Buffer.from('{"protocol":4}');
    expect(await api({ refusal }).handle('watch', request, peer, undefined)).toMatchObject({
      status,
      body: { code },
    });
  },
);

test('IPv6 is told from IPv4', async () => {
  const { handle, asked } = api({ key: true });
  await handle('sighting', body, '2001:db8::2', signature('sighting', body));
  expect(asked[0]?.family).toBe('ipv6');
});
