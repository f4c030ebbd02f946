/** @module Requests between agents over HTTP (`/peer/v1/*`), both ends; the way that needs no raw socket. */
import { timingSafeEqual } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { isIPv4 } from 'node:net';
import type { Mac } from '../checks/packet/message.ts';
import type { Carrier } from '../checks/peer-client.ts';
import { agentPort } from '../checks/peer-client.ts';
import type { PeerService, Refusal } from '../checks/peer-service.ts';
import { writeBody } from '../checks/peer-wire.ts';
import type { PeerOperation } from './openapi.ts';
import type { PeerApi } from './server.ts';

const maximumBodyBytes = 64 * 1024;
const signatureHeader = 'x-cni-preflight-signature';

const refusals = new Map<number | undefined, Refusal>([
  [429, 'busy'],
  [503, 'unable'],
]);

/** Carries requests over HTTP to the agent's port. */
export function httpCarrier(mac: Mac | undefined): Carrier {
  return async (path, request, timeoutMs, signal) => {
    const { op, ...rest } = request;
    const body = Buffer.from(JSON.stringify(rest));
    const signature = mac === undefined ? undefined : sign(mac, op, body);
    const response = await post(
      { address: path.destination, operation: op, body, signature },
      timeoutMs,
      signal,
    );
    if (response !== undefined && deniesKey(response, mac !== undefined)) return 'wrong-key';
    const refusal = refusals.get(response?.status);
    // Nobody signs a refusal: whoever forges one only keeps this node from asking.
    if (refusal !== undefined) return writeBody({ refused: refusal });
    if (response?.status !== 200) return undefined;
    if (mac !== undefined && !isSigned(mac, `${op} response`, response.body, response.signature))
      return 'wrong-key';
    return response.body;
  };
}

/** Answers what came over HTTP with the same service that answers datagrams. */
export function createPeerApi(options: {
  readonly service: PeerService;
  readonly mac: Mac | undefined;
  readonly isPeer: (address: string) => boolean;
}): PeerApi {
  const { service, mac, isPeer } = options;
  return {
    async handle(operation, body, remoteAddress, signature, localAddress = '') {
      if (mac !== undefined && !isSigned(mac, operation, body, signature))
        return problem(401, 'UNSIGNED', 'this agent has a key: sign the request with it');
      if (mac === undefined && !isPeer(remoteAddress))
        return problem(403, 'NOT_A_PEER', `${remoteAddress} is not among the peers of this agent`);
      const request = withOperation(operation, body);
      const answer =
        request === undefined
          ? undefined
          : await service.answer({
              address: remoteAddress,
              destination: localAddress,
              family: isIPv4(remoteAddress) ? 'ipv4' : 'ipv6',
              session: '',
              body: request,
            });
      if (answer === undefined)
        return problem(400, 'BAD_REQUEST', `this is no ${operation} request that can be answered`);
      if (answer === 'busy')
        return problem(429, 'TOO_MANY_WATCHES', 'too many watches are open; come back in seconds');
      if (answer === 'unable')
        return problem(503, 'NO_WATCH', 'this agent may not open the socket that a watch needs');
      return {
        status: 200,
        body: answer,
        ...(mac === undefined ? {} : { signature: sign(mac, `${operation} response`, answer) }),
      };
    },
  };
}

/**
 * An agent with a key refuses what is not signed with it; one without a key asks a signed request, too, for its address. By the code
 * and not the status alone: something else may listen on the port.
 */
function deniesKey({ status, body }: PeerResponse, signed: boolean): boolean {
  const text = Buffer.from(body);
  if (status === 401) return text.includes('"UNSIGNED"');
  return signed && status === 403 && text.includes('"NOT_A_PEER"');
}

function problem(
  status: number,
  code: string,
  message: string,
): Awaited<ReturnType<PeerApi['handle']>> {
  return { status, body: { code, message } };
}

function withOperation(operation: PeerOperation, body: Uint8Array): Uint8Array | undefined {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(body).toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return Buffer.from(JSON.stringify({ ...value, op: operation }));
}

function sign(mac: Mac, what: string, body: Uint8Array): string {
  return Buffer.from(mac(Buffer.concat([Buffer.from(`${what}\n`), body]))).toString('hex');
}

function isSigned(
  mac: Mac,
  what: string,
  body: Uint8Array,
  signature: string | undefined,
): boolean {
  const wanted = Buffer.from(sign(mac, what, body));
  const given = Buffer.from(signature ?? '');
  return wanted.length === given.length && timingSafeEqual(wanted, given);
}

interface PeerResponse {
  readonly status: number;
  readonly body: Uint8Array;
  readonly signature: string | undefined;
}

function post(
  given: {
    readonly address: string;
    readonly operation: string;
    readonly body: Buffer;
    readonly signature: string | undefined;
  },
  timeoutMs: number,
  signal: AbortSignal,
): Promise<PeerResponse | undefined> {
  return new Promise((resolve) => {
    const call = httpRequest(
      {
        host: given.address,
        port: agentPort,
        method: 'POST',
        path: `/peer/v1/${given.operation}`,
        headers: {
          'content-type': 'application/json',
          'content-length': given.body.length,
          ...(given.signature === undefined ? {} : { [signatureHeader]: given.signature }),
        },
        agent: false,
        signal,
      },
      (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > maximumBodyBytes) call.destroy();
          else chunks.push(chunk);
        });
        response.on('error', () => {
          resolve(undefined);
        });
        response.on('close', () => {
          const signature = response.headers[signatureHeader];
          resolve(
            response.complete
              ? {
                  status: response.statusCode ?? 0,
                  body: Buffer.concat(chunks),
                  signature: typeof signature === 'string' ? signature : undefined,
                }
              : undefined,
          );
        });
      },
    );
    const timer = setTimeout(() => {
      call.destroy();
    }, timeoutMs);
    call.on('error', () => {
      resolve(undefined);
    });
    call.on('close', () => {
      clearTimeout(timer);
      resolve(undefined);
    });
    call.end(given.body);
  });
}
