#compdef bellhop
# zsh completion of bellhop:  source <(bellhop completion zsh)
_bellhop() {
	local -a names
	names=("${(@f)$("$words[1]" complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
	names=("${(@)names%%$'\t'*}")
	names=("${(@)names:#}")
	if (( $#names )); then
		compadd -a names
	else
		_files
	fi
}
if [[ $funcstack[1] = _bellhop ]]; then
	_bellhop "$@"
else
	compdef _bellhop bellhop
fi
