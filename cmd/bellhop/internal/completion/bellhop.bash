# bash completion of bellhop:  source <(bellhop completion bash)
_bellhop() {
	local IFS=$'\n' quote='' word i
	local -a words=("${COMP_WORDS[@]:1:COMP_CWORD}")
	case ${COMP_WORDS[COMP_CWORD]} in
	[\"\']*) quote=yes ;; # whatever follows needs no quoting
	esac
	for i in "${!words[@]}"; do
		word=${words[i]#[\"\']}
		word=${word%[\"\']}
		words[i]=${word//\\/}
	done
	COMPREPLY=()
	while read -r word; do
		word=${word%%$'\t'*}
		[[ $quote ]] || printf -v word %q "$word"
		COMPREPLY+=("$word")
	done < <("${COMP_WORDS[0]}" complete -- "${words[@]}" 2>/dev/null)
}
complete -o default -F _bellhop bellhop
