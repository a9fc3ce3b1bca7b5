// Names of components: `type` or `type/name`, as the Collector spells and refuses them.

export type Id = { readonly type: string; readonly name: string }

/** The id, or why it is none. Blanks around the slash are dropped. */
export function parseId(text: string): Id | string {
  const slash = text.indexOf('/')
  const type = (slash < 0 ? text : text.slice(0, slash)).trim()
  const name = slash < 0 ? '' : text.slice(slash + 1).trim()
  if (slash < 0 && type === '') return 'id must not be empty'
  if (type === '') return `in "${text}" id: the part before / should not be empty`
  if (slash >= 0 && name === '') return `in "${text}" id: the part after / should not be empty`
  if (!/^[a-zA-Z][0-9a-zA-Z_]{0,62}$/.test(type)) return `invalid character(s) in type "${type}"`
  if (slash >= 0 && !/^[^\p{Z}\p{C}\p{S}]{1,1024}$/u.test(name)) return `invalid character(s) in name "${name}"`
  return { type, name }
}

/** Two spellings of one id are one id. */
export const idText = ({ type, name }: Id): string => (name === '' ? type : `${type}/${name}`)
