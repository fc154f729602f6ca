# fish completion of bellhop:  bellhop completion fish | source
function __bellhop_complete
	set -l words (commandline -opc)
	$words[1] complete -- $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c bellhop -f -k -a '(__bellhop_complete)'
complete -c bellhop -s f -l file -r -F
