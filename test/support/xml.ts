/** @module Reads XML as strictly as these tests need it: a report that is not well-formed is an error. */

export interface XmlElement {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly parent: XmlElement | undefined;
}

/** Every element in document order; throws where a tag is not closed, an attribute not quoted or text not escaped. */
export function readXml(text: string): readonly XmlElement[] {
  const elements: XmlElement[] = [];
  const open: XmlElement[] = [];
  const body = text.replace(/^<\?xml [^?]*\?>\s*/, '');
  const token = /<(\/?)([\w:-]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>|([^<>]+)/y;
  while (token.lastIndex < body.length) {
    const at = token.lastIndex;
    const [, closing, name = '', attributes = '', empty, content] = token.exec(body) ?? [];
    if (name === '' && content === undefined) {
      throw new Error(`not XML at ${JSON.stringify(body.slice(at, at + 80))}`);
    }
    checkReferences(content ?? attributes);
    if (content !== undefined) {
      if (open.length === 0 && content.trim() !== '') throw new Error('text outside of the root');
    } else if (closing === '/') {
      const opened = open.pop()?.name;
      if (opened !== name) throw new Error(`</${name}> closes <${opened}>`);
    } else {
      const element = { name, attributes: readAttributes(attributes), parent: open.at(-1) };
      elements.push(element);
      if (empty !== '/') open.push(element);
    }
  }
  if (open.length > 0) throw new Error(`<${open.at(-1)?.name}> is not closed`);
  if (elements.filter(({ parent }) => parent === undefined).length !== 1) {
    throw new Error('not one root');
  }
  return elements;
}

function readAttributes(text: string): Record<string, string> {
  const attributes: Record<string, string> = {};
  for (const [, name = '', value = ''] of text.matchAll(/([\w:-]+)="([^"]*)"/g)) {
    if (Object.hasOwn(attributes, name)) throw new Error(`two attributes ${name}`);
    attributes[name] = value;
  }
  return attributes;
}

function checkReferences(text: string): void {
  const bare = /&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[0-9a-f]+);)/i.exec(text);
  if (bare !== null) throw new Error(`a bare & in ${JSON.stringify(text.slice(0, 80))}`);
}
