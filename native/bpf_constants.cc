// Sets `const volatile` globals of an object that is open but not loaded yet: BTF tells where in .rodata
// each one lies, how wide it is and whether it has a sign.
#include "bpf_constants.h"

#include <bpf/btf.h>

#include <cstring>

namespace {

const btf_type* Resolve(const btf* btf, uint32_t id) {
  const btf_type* type = btf__type_by_id(btf, id);
  while (type != nullptr && (btf_is_mod(type) || btf_is_typedef(type))) type = btf__type_by_id(btf, type->type);
  return type;
}

bool IsSigned(const btf_type* type) {
  return btf_is_int(type) ? (btf_int_encoding(type) & BTF_INT_SIGNED) != 0 : btf_kflag(type);
}

bool Fits(const Constant& constant, uint32_t width, bool is_signed) {
  const unsigned bits = width * 8 - (is_signed ? 1 : 0);
  if (constant.negative) return is_signed && (width == 8 || ~constant.bits >> bits == 0);
  return bits == 64 || constant.bits >> bits == 0;
}

std::string WriteAt(uint8_t* place, const Constant& constant, const btf_type* type) {
  const bool is_number = type != nullptr && (btf_is_int(type) || btf_is_any_enum(type));
  if (!is_number || type->size > sizeof constant.bits) {
    return "the constant " + constant.name + " is not a number in this BPF object";
  }
  const bool is_bool = btf_is_int(type) && (btf_int_encoding(type) & BTF_INT_BOOL) != 0;
  if (!Fits(constant, type->size, IsSigned(type)) || (is_bool && constant.bits > 1)) {
    return "the value of the constant " + constant.name + " does not fit its " + std::to_string(type->size) + " bytes";
  }
  for (uint32_t i = 0; i < type->size; i++) {
    const bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
    place[little ? i : type->size - 1 - i] = static_cast<uint8_t>(constant.bits >> (8 * i));
  }
  return "";
}

}  // namespace

std::string SetConstant(bpf_object* object, const Constant& constant) {
  const std::string unknown = "this BPF object has no constant " + constant.name;
  const btf* btf = bpf_object__btf(object);
  bpf_map* map = bpf_object__find_map_by_name(object, ".rodata");
  if (btf == nullptr || map == nullptr) return unknown;

  size_t size = 0;
  // Before the load it is libbpf's own writable copy; the kernel takes it over and freezes it.
  auto* values = static_cast<uint8_t*>(const_cast<void*>(static_cast<const void*>(bpf_map__initial_value(map, &size))));
  const int section = btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC);
  if (values == nullptr || section < 0) return unknown;

  const btf_type* datasec = btf__type_by_id(btf, static_cast<uint32_t>(section));
  const btf_var_secinfo* entry = btf_var_secinfos(datasec);
  for (uint32_t i = 0; i < btf_vlen(datasec); i++, entry++) {
    const btf_type* variable = btf__type_by_id(btf, entry->type);
    if (constant.name != btf__name_by_offset(btf, variable->name_off)) continue;
    const btf_type* type = Resolve(btf, variable->type);
    const bool inside = entry->offset <= size && type != nullptr && type->size <= size - entry->offset;
    return inside ? WriteAt(values + entry->offset, constant, type) : unknown;
  }
  return unknown;
}
