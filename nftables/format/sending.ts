/** @module Statements that send a packet elsewhere: nat, tproxy, dup, fwd, queue. */
import type { Expression, ExpressionOf, NatRange } from '../model.ts';
import { toNumber } from './bytes.ts';
import { type DataFormat, types, writeConstant } from './datatypes.ts';
import { rangePrefix } from './elements.ts';
import type { Match } from './matches.ts';
import { writeValue } from './settings.ts';
import { writeNatFlags } from './statements.ts';
import type { Value } from './value.ts';
import type { Writer } from './writer.ts';

/** False for what is no such statement, or has no words. */
export function writeSending(writer: Writer, expression: Expression): boolean {
  switch (expression.kind) {
    case 'nat':
      return writeNat(writer, expression);
    case 'masq':
      return writePorts(writer, 'masquerade', expression.range);
    case 'redir':
      return writePorts(writer, 'redirect', expression.range);
    case 'tproxy':
      return writeTproxy(writer, expression);
    case 'dup':
      return writeDup(writer, expression);
    case 'fwd':
      return writeFwd(writer, expression);
    case 'queue':
      return writeQueue(writer, expression);
    default:
      return false;
  }
}

const addressTypes = { ip: types.ipv4, ip6: types.ipv6 } as const;

/** NF_NAT_RANGE_NETMAP: the host bits of the address stay. */
const netmap = 64;

function writeNat(writer: Writer, { type, family, range }: ExpressionOf<'nat'>): boolean {
  const { registers } = writer;
  const { addressFirst } = range;
  // The kernel names the first register again where there is no last one.
  const addressLast = range.addressLast === addressFirst ? undefined : range.addressLast;
  const flags = writeNatFlags(range.flags);
  if (addressFirst === undefined || family === 'unspecified') {
    return addressFirst === undefined && writePorts(writer, type, range);
  }
  const value = registers.at(addressFirst);
  const format = addressTypes[family];
  const isNamed = writer.family === 'inet';
  if (value === undefined) return false;
  const prefix = (range.flags & netmap) === 0 ? '' : ' prefix';
  if (value.kind !== 'constant') {
    // One map may give the address, the end of its range, and the port.
    if (!isPartOf(writer, value, addressLast) || !isPartOf(writer, value, range.portFirst)) {
      const ports = isPartOf(writer, value, addressLast) ? portText(writer, range) : undefined;
      if (ports === undefined || prefix !== '') return false;
      return tellValue(
        writer,
        value,
        format,
        (text) => `${type}${isNamed ? ` ${family}` : ''} to ${text}${ports}${flags}`,
      );
    }
    const name = isNamed || range.portFirst !== undefined || prefix !== '' ? ` ${family}` : '';
    return tellValue(writer, value, format, (text) => `${type}${name}${prefix} to ${text}${flags}`);
  }
  const last = addressLast === undefined ? undefined : registers.at(addressLast);
  const ports = portText(writer, range);
  const address = writeConstant(format, value.bytes);
  if (ports === undefined || address === undefined) return false;
  let text = family === 'ip6' && ports !== '' ? `[${address}]` : address;
  if (addressLast !== undefined) {
    const end = last?.kind === 'constant' ? writeConstant(format, last.bytes) : undefined;
    if (end === undefined || last?.kind !== 'constant') return false;
    text += `-${family === 'ip6' && ports !== '' ? `[${end}]` : end}`;
    if (prefix !== '') {
      const [low, high] = [toNumber(value.bytes, 'big'), toNumber(last.bytes, 'big')];
      const length = rangePrefix(low, high, 8 * value.bytes.length);
      if (length === undefined) return false;
      text = `${address}/${length}`;
    }
  } else if (prefix !== '') return false;
  const name = isNamed || prefix !== '' ? ` ${family}` : '';
  writer.say(`${type}${name}${prefix} to ${text}${ports}${flags}`);
  return true;
}

/** Whether a register is absent, or another word of the same value. */
function isPartOf(writer: Writer, value: Value, register: number | undefined): boolean {
  return register === undefined || writer.registers.inside(register) === value;
}

/** `:80`, `:80-90`, or nothing; undefined where the ports are no numbers. */
function portText(writer: Writer, { portFirst, portLast }: NatRange): string | undefined {
  if (portFirst === undefined) return '';
  const first = writer.registers.at(portFirst);
  if (first?.kind !== 'constant') return undefined;
  const low = toNumber(first.bytes.subarray(0, 2), 'big');
  if (portLast === undefined || portLast === portFirst) return `:${low}`;
  const last = writer.registers.at(portLast);
  if (last?.kind !== 'constant') return undefined;
  return `:${low}-${toNumber(last.bytes.subarray(0, 2), 'big')}`;
}

/** `masquerade to :1024-65535 random`, `redirect to :8080`. */
function writePorts(writer: Writer, words: string, range: NatRange): boolean {
  const flags = writeNatFlags(range.flags);
  const ports = portText(writer, range);
  if (ports !== undefined) {
    writer.say(`${words}${ports === '' ? '' : ` to ${ports}`}${flags}`);
    return true;
  }
  const value = range.portFirst === undefined ? undefined : writer.registers.at(range.portFirst);
  if (value === undefined || (range.portLast ?? range.portFirst) !== range.portFirst) return false;
  return tellValue(writer, value, types.service, (text) => `${words} to :${text}${flags}`);
}

function tellValue(
  writer: Writer,
  value: Value,
  type: DataFormat,
  sentence: (text: string) => string,
): boolean {
  return writer.tell((speaker): Match | undefined => {
    const said = writeValue(value, type, speaker);
    return said === undefined ? undefined : { text: sentence(said.text), needs: said.needs };
  });
}

function writeTproxy(
  writer: Writer,
  { family, addressRegister, portRegister }: ExpressionOf<'tproxy'>,
): boolean {
  const { registers } = writer;
  const address = addressRegister === undefined ? undefined : registers.at(addressRegister);
  const port = portRegister === undefined ? undefined : registers.at(portRegister);
  if (addressRegister !== undefined && address?.kind !== 'constant') return false;
  if (portRegister !== undefined && port?.kind !== 'constant') return false;
  let text = '';
  if (address?.kind === 'constant') {
    if (family === 'unspecified') return false;
    const words = writeConstant(addressTypes[family], address.bytes);
    if (words === undefined) return false;
    text = family === 'ip6' ? `[${words}]` : words;
  }
  if (port?.kind === 'constant') text += `:${toNumber(port.bytes.subarray(0, 2), 'big')}`;
  if (text === '') return false;
  const name = writer.family === 'inet' && family !== 'unspecified' ? ` ${family}` : '';
  writer.say(`tproxy${name} to ${text}`);
  return true;
}

function writeDup(
  writer: Writer,
  { addressRegister, deviceRegister }: ExpressionOf<'dup'>,
): boolean {
  const { registers } = writer;
  const address = addressRegister === undefined ? undefined : registers.at(addressRegister);
  const device = deviceRegister === undefined ? undefined : registers.at(deviceRegister);
  const type = writer.family === 'ip6' ? types.ipv6 : types.ipv4;
  return writer.tell((speaker) => {
    const to = address && writeValue(address, type, speaker);
    const by = device && writeValue(device, types.interface, speaker);
    if ((address !== undefined && to === undefined) || (device !== undefined && by === undefined)) {
      return undefined;
    }
    const needs = [...(to?.needs ?? []), ...(by?.needs ?? [])];
    if (to === undefined) {
      return by === undefined ? undefined : { text: `dup to ${by.text}`, needs };
    }
    const through = by === undefined ? '' : ` device ${by.text}`;
    return { text: `dup to ${to.text}${through}`, needs };
  });
}

function writeFwd(
  writer: Writer,
  { deviceRegister, addressRegister, family }: ExpressionOf<'fwd'>,
): boolean {
  const { registers } = writer;
  const device = registers.at(deviceRegister);
  const address = addressRegister === undefined ? undefined : registers.at(addressRegister);
  if (device === undefined) return false;
  if (addressRegister !== undefined && (address === undefined || family === undefined))
    return false;
  return writer.tell((speaker) => {
    const by = writeValue(device, types.interface, speaker);
    if (by === undefined) return undefined;
    if (address === undefined || family === undefined) {
      return { text: `fwd to ${by.text}`, needs: by.needs };
    }
    const to = writeValue(address, addressTypes[family], speaker);
    if (to === undefined) return undefined;
    return {
      text: `fwd ${family} to ${to.text} device ${by.text}`,
      needs: [...to.needs, ...by.needs],
    };
  });
}

function writeQueue(writer: Writer, queue: ExpressionOf<'queue'>): boolean {
  const words = [...(queue.bypass ? ['bypass'] : []), ...(queue.fanout ? ['fanout'] : [])];
  const flags = words.length === 0 ? '' : ` flags ${words.join(',')}`;
  if (queue.register !== undefined) {
    const value = writer.registers.at(queue.register);
    if (value === undefined) return false;
    return tellValue(writer, value, types.hostInteger, (text) => `queue${flags} to ${text}`);
  }
  const last = queue.number + queue.total - 1;
  writer.say(`queue${flags} to ${queue.number}${queue.total > 1 ? `-${last}` : ''}`);
  return true;
}
